"""``ragstack chat`` as a process: both parts answer, and a signal ends both in good order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from ragstack.errors import InputError
from ragstack.types.hosts import is_loopback
from ragstack_apps.chat.launch import Launch, Together
from ragstack_apps.chat.pages import options

COMMAND = [sys.executable, "-c", "from ragstack.cli import main; main()", "chat"]


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    (folder / "kb").mkdir()
    (folder / "kb" / "ragstack.toml").write_text(
        '[embed]\nuse = "hashing"\n[generate]\nuse = "scripted"\nreplies = ["Yes."]\n',
        encoding="utf-8",
    )
    return subprocess.Popen(
        [*COMMAND, "--no-browser", "--port", "0", "--base", str(folder / "kb"), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
        },
    )


def test_both_start_and_both_stop(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            found = re.search(r"ragstack at (http://127\S+:\d+); server at (http://\S+);", line)
            assert found, line + process.stderr.read()
            pages, server = found.groups()
            assert answers(pages) and answers(f"{pages}/_stcore/health")
            assert answers(f"{server}/health")
            process.send_signal(signal.SIGINT)
            assert process.wait(40) == 0, process.stderr.read()
            assert not answers(pages) and not answers(f"{server}/health")
        finally:
            process.kill()


def test_a_page_of_elsewhere_cannot_reach_the_pages_socket(tmp_path: Path) -> None:
    """A site open in the same browser must not talk to the pages; nor is anyone asked about it."""
    with Together(Launch(port=0, server="http://127.0.0.1:9")) as both:
        until = time.monotonic() + 120
        while not answers(f"{both.address}/_stcore/health"):
            assert time.monotonic() < until
            time.sleep(0.1)
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        address = f"{both.address}/_stcore/stream"
        with httpx.Client(trust_env=False, timeout=10) as client:
            foreign = client.get(address, headers={**upgrade, "Origin": "http://evil.test"})
            assert foreign.status_code == 403


def test_a_server_that_does_not_start_is_said(tmp_path: Path) -> None:
    (tmp_path / "ragstack.toml").write_text("[nonsense]\n", encoding="utf-8")
    found = subprocess.run(
        [*COMMAND, "--no-browser", "--port", "0", "--base", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert found.returncode == 1
    assert "nonsense" in found.stderr and "the server ended" in found.stderr


def test_a_port_that_is_taken_is_said() -> None:
    with (
        Together(Launch(port=0, server="http://127.0.0.1:9")) as both,
        pytest.raises(InputError, match="nothing can listen"),
    ):
        until = time.monotonic() + 120
        while not answers(f"{both.address}/_stcore/health"):
            assert time.monotonic() < until
            time.sleep(0.1)
        Together(Launch(port=int(both.address.rpartition(":")[2])))


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://127.0.0.1", "kb"])
def test_an_address_of_a_server_that_is_none_is_said(address: str) -> None:
    with pytest.raises(InputError, match="expected such as 'http://"):
        Together(Launch(port=0, server=address))


def test_what_starts_the_others_imports_little() -> None:
    heavy = "{'httpx', 'numpy', 'fastapi', 'streamlit', 'ragstack.pipeline.stack'}"
    code = f"import sys, ragstack_apps.chat.command; print(sorted({heavy} & {{*sys.modules}}))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_what_only_this_machine_reaches(host: str, near: bool) -> None:
    assert is_loopback(host) is near


def test_nothing_is_told_to_anyone() -> None:
    given = options("127.0.0.1", 8501, 200)
    assert given["browser.gatherUsageStats"] is False
    assert given["server.enableCORS"] is True and given["server.corsAllowedOrigins"] == []
    assert given["theme.fontFaces"] == []
    assert not any("http" in str(value) for value in given.values())
