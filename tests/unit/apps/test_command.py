"""``ragstack serve`` as a process: it answers, and a signal ends it in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from ragstack.testing.tiny_model import TinyModel


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    model = TinyModel(context_length=512).write(tmp_path / "tiny.gguf")
    command = "from ragstack.cli import main; main()"
    options = ["--base", str(tmp_path / "kb"), "--port", "0", "--model", str(model)]
    with subprocess.Popen(
        [sys.executable, "-c", command, "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONUNBUFFERED": "1",
            "RAGSTACK_API_KEY": "sesame",
        },
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            assert " at http://" in line, line + process.stderr.read()
            url = line.split(" at ")[1].split(";")[0]
            body = {
                "model": str(model),
                "messages": [{"role": "user", "content": "Hello"}],
                "max_tokens": 4,
            }
            address, key = f"{url}/chat/completions", {"Authorization": "Bearer sesame"}
            assert httpx.post(address, json=body, trust_env=False).status_code == 401
            reply = httpx.post(address, json=body, headers=key, timeout=60, trust_env=False)
            assert reply.status_code == 200, reply.text
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, process.stderr.read()
        finally:
            process.kill()


def test_it_is_not_opened_to_others_without_a_key(tmp_path: Path) -> None:
    command = "from ragstack.cli import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", command, "serve", "--host", "0.0.0.0", "--base", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    assert found.returncode == 1 and "loopback" in found.stderr
