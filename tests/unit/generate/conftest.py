"""A tiny model for the local generator, and a server for the remote one."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ragstack.generate.local import LocalGenerator
from ragstack.testing.tiny_model import TinyModel


@pytest.fixture(scope="session")
def local_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyModel().write(tmp_path_factory.mktemp("generate") / "tiny.gguf")


@pytest.fixture(scope="module")
def local_generator(local_path: Path) -> Iterator[LocalGenerator]:
    with LocalGenerator(model=str(local_path), threads=1) as generator:
        yield generator


@dataclass
class ChatServer:
    """A server that plays answers back, one for each request, and keeps what it was sent.

    An answer is (status, headers, body); a body of bytes is sent as it is, in pieces where it holds
    the mark ``|cut|``, and ended early where it ends with ``|drop|``. Between two pieces it waits
    ``pause_s`` seconds.
    """

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    pause_s: float = 0.0

    def play(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.answers.append((status, headers, body))


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    state = ChatServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            state.requests.append(json.loads(self.rfile.read(size)))
            state.headers.append(dict(self.headers))
            status, headers, body = state.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if body.endswith(b"|drop|"):
                self.send_header("Content-Length", str(len(body) + 100))
            self.end_headers()
            for piece in body.removesuffix(b"|drop|").split(b"|cut|"):
                self.wfile.write(piece)
                self.wfile.flush()
                if state.pause_s:
                    time.sleep(state.pause_s)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that closes in the middle is what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def golden(repository: Path) -> Callable[[str], bytes]:
    """Return a function that gives the bytes of a recorded reply."""
    return lambda name: (repository / "tests" / "golden" / "chat" / name).read_bytes()
