"""A server on loopback that answers as a service's public API documentation says it does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest


class Reply(Exception):
    """Raised by a handler: an answer that is not a plain 200 with JSON."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


class Service:
    """A server whose every answer is made by a function of method, path, query and body."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, dict[str, str], dict[str, str]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append((self.command, parts.path, query, headers))
                try:
                    status, found, more = 200, service.answer(parts.path, query, body), {}
                    if isinstance(found, tuple):
                        found, more = found
                except Reply as reply:
                    status, found, more = reply.status, reply.body, reply.headers
                data = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _serve

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[..., Any]], Service]]:
    """Starts services; ``SERVICE_TOKEN`` is set."""
    monkeypatch.setenv("SERVICE_TOKEN", "s3cret-token")
    started: list[Service] = []

    def start(answer: Callable[..., Any]) -> Service:
        started.append(Service(answer))
        return started[-1]

    yield start
    for service in started:
        service.close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
