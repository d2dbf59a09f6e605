"""llama.cpp's own server over HTTP: its binary, or the one inside ``xllamacpp``.

Run by the bench: ``python -m ragstack_evals.contest.play_server``.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from ragstack_evals.contest.player import Ask, Player, Setup, Used, serve

__all__ = ["Server", "body"]

_HOST = "127.0.0.1"
_START_S = 180.0
_ANSWER_S = 900.0
_ALL_LAYERS = 999


class Server(Player):
    """As many slots as streams, each with a window of its own; all else as it comes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._inside: Any = None
        self._port = 0

    def open(self, setup: Setup) -> None:
        """Start the server and wait until it has loaded the model."""
        if setup.server:
            self._start(setup)
        else:
            self._start_inside(setup)
        until = time.monotonic() + _START_S
        while not self._healthy():
            if time.monotonic() > until or (self._process and self._process.poll() is not None):
                raise RuntimeError("the server did not come up")
            time.sleep(0.1)

    def _start(self, setup: Setup) -> None:
        with socket.socket() as free:
            free.bind((_HOST, 0))
            self._port = free.getsockname()[1]
        command = [setup.server, "--host", _HOST, "--port", str(self._port)]
        command += ["--model", setup.model, "--threads", str(setup.threads)]
        command += ["--threads-batch", str(setup.threads), "--parallel", str(setup.streams)]
        command += ["--ctx-size", str(setup.window * setup.streams)]
        command += ["--n-gpu-layers", str(_ALL_LAYERS)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _start_inside(self, setup: Setup) -> None:
        import xllamacpp  # in the peers' environment alone

        options = xllamacpp.CommonParams()
        options.model.path = setup.model
        options.cpuparams.n_threads = options.cpuparams_batch.n_threads = setup.threads
        options.n_parallel = setup.streams
        options.n_ctx = setup.window * setup.streams
        options.n_gpu_layers = _ALL_LAYERS
        self._inside = xllamacpp.Server(options)
        self._port = int(str(self._inside.listening_address).rsplit(":", 1)[1].strip("/"))

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def stream(self, ask: Ask) -> Generator[str, None, Used]:
        """Yield the text of the events."""
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=_ANSWER_S)
        used = Used()
        try:
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(body(ask)),
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise RuntimeError(f"{response.status}: {response.read(500)!r}")
            for line in response:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                timings = event.get("timings") or {}
                if "prompt_n" in timings:
                    cached = int(timings.get("cache_n", 0))
                    used = Used(
                        int(timings["prompt_n"]) + cached, cached, int(timings["predicted_n"])
                    )
                for choice in event.get("choices", ()):
                    yield choice["delta"].get("content") or ""
        finally:
            connection.close()
        return used

    def peak(self) -> int:
        """Return the most memory the server held, where the system tells."""
        if self._process is None:
            return super().peak()
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return 0
        held = next(line for line in status.split("\n") if line.startswith("VmHWM"))
        return int(held.split()[1]) * 1024

    def close(self) -> None:
        """Stop the server."""
        self._inside = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def body(ask: Ask) -> dict[str, Any]:
    """Return the request as the server takes it."""
    found: dict[str, Any] = {
        "messages": list(ask.messages),
        "max_tokens": ask.tokens,
        "temperature": 0.0,
        "stream": True,
        "ignore_eos": ask.endless,
    }
    if ask.schema is not None:
        found["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(ask.schema)},
        }
    return found


if __name__ == "__main__":
    serve(Server())
