"""Connections in, routed requests and their answers out, by the standard library's HTTP server.

A thread a connection: whoever waits for a model holds up no other. What is asked and answered is
the routes' affair; here are bytes, limits, keys, and clients that go away.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from ragstack.errors import ConfigError
from ragstack_apps.server.errors import Failure, HttpError, failure_of
from ragstack_apps.server.routes import OPEN, Asked, route
from ragstack_apps.server.service import Call, Service
from ragstack_apps.server.watch import Watch

__all__ = ["Place", "Server", "is_loopback"]

_logger = logging.getLogger(__name__)

_SILENCE_S = 60.0  # a client may be silent, or not read, for as long
_LAST_WORDS_S = 5.0  # for streams that are cut off to say so
_DISCARDED_S = 2.0
_CONNECTIONS = 512
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, and to whom.

    Attributes:
        port: 0 is any that is free.
        api_key: What clients must show; empty is nothing, on loopback alone.
        max_body: Bytes of a request's body.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str = ""
    max_body: int = 8 << 20

    def check(self) -> None:
        """Refuse to be open to others without a key.

        Raises:
            ConfigError: It would be, or a number is out of range.
        """
        if not 0 <= self.port <= 65535 or self.max_body < 1:
            raise ConfigError(
                f"port={self.port}, max_body={self.max_body}: expected 0 to 65535, and 1 or more"
            )
        if not self.api_key and not is_loopback(self.host):
            raise ConfigError(
                f"without an API key the server listens on loopback alone, not on {self.host!r}",
                hint="set RAGSTACK_API_KEY, or leave --host out",
            )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine and no other."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Server(ThreadingHTTPServer):
    """Serves a Service until it is stopped. Bound when made."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, service: Service, place: Place) -> None:
        """Listen.

        Raises:
            ConfigError: The place is open to others, or cannot be had.
        """
        place.check()
        self.service = service
        self.place = place
        self.draining = False
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        self._calls: set[threading.Event] = set()
        self._changed = threading.Condition()
        if ":" in place.host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((place.host.strip("[]"), place.port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {place.host!r}, port {place.port}: {error.strerror or error}",
                hint="name another --port; 0 takes any that is free",
            ) from error
        self.watch = Watch()

    @property
    def url(self) -> str:
        """Where it listens."""
        host = self.place.host.strip("[]")
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"

    @contextmanager
    def at_work(self, call: Call) -> Iterator[None]:
        """Count a request among those that a stop waits for."""
        with self._changed:
            if self.draining:
                raise HttpError(503, "the server is shutting down")
            self._calls.add(call.gone)
        try:
            yield
        finally:
            with self._changed:
                self._calls.discard(call.gone)
                self._changed.notify_all()

    def stop(self, grace_s: float) -> None:
        """Take no more requests, let those at work end, cut off what takes longer than a grace.

        To be called from another thread than the one that serves.
        """
        with self._changed:
            self.draining = True
        self.shutdown()
        self.server_close()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._calls, grace_s):
                for gone in self._calls:
                    gone.set()
                self._changed.wait_for(lambda: not self._calls, _LAST_WORDS_S)
        self.watch.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, or turn it away where there are too many."""
        if not self._room.acquire(blocking=False):
            with suppress(OSError):
                request.send(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what nobody can be told any more."""
        _logger.debug("the connection of %s ended", client_address, exc_info=True)


def _host_of(header: str) -> str:
    """Return the host that a Host header names, without its port; empty where it names none."""
    with suppress(ValueError):
        return urlsplit(f"//{header}").hostname or ""
    return ""


class _Handler(BaseHTTPRequestHandler):
    """One connection: its requests, one after another."""

    server: Server
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # what is not HTTP at all gets headers too
    server_version = "ragstack"
    sys_version = ""
    timeout = _SILENCE_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer a request."""
        self._unread = self.headers.get("Content-Length", "0") != "0"
        self._begun = False
        call = Call(self.client_address[0])
        try:
            with self.server.at_work(call):
                self._answer(call)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self._fail(failure_of(error))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not HTTP, in the form of every other error."""
        self.close_connection = True
        self._unread = self._begun = False
        self._fail(failure_of(HttpError(code, message or "this is not HTTP")))

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request where debugging is on."""
        _logger.debug(format, *args)

    def _answer(self, call: Call) -> None:
        path = self.path.partition("?")[0]
        self._check_caller(path)
        answers = route(self.command, path)
        body = self._body() if self.command == "POST" else b""
        with self.server.watch.watching(self.connection, call.gone):
            answered = answers(self.server.service, Asked(call, body))
            if isinstance(answered, Mapping):
                self._send(200, answered, {})
            else:
                self._stream(answered)

    def _check_caller(self, path: str) -> None:
        key = self.server.place.api_key
        if not key:
            # A page of the web must not reach it through a name that it made point here.
            host = _host_of(self.headers.get("Host", ""))
            if not is_loopback(host):
                raise HttpError(403, f"without an API key no request for {host!r} is answered")
        elif path not in OPEN:
            given = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode("utf-8", "replace"), key.encode()):
                raise HttpError(401, "the API key is missing or wrong", code="invalid_api_key")

    def _body(self) -> bytes:
        if self.headers.get_content_type() != _JSON:
            raise HttpError(415, f"the body's Content-Type is not {_JSON}")
        lengths = self.headers.get_all("Content-Length") or []
        if "Transfer-Encoding" in self.headers or not lengths:
            self._unread = True
            raise HttpError(411, "the body's Content-Length is missing")
        if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
            raise HttpError(400, f"Content-Length is {lengths[0]!r}, expected one number")
        most = self.server.place.max_body
        if len(lengths[0]) > len(str(most)) or int(lengths[0]) > most:
            raise HttpError(413, f"the body has {lengths[0]} bytes, expected {most} at most")
        body = self.rfile.read(int(lengths[0]))
        self._unread = False
        if len(body) < int(lengths[0]):
            raise ConnectionResetError("the client left before the end of its body")
        return body

    def _stream(self, objects: Generator[Mapping[str, Any], None, None]) -> None:
        try:
            # What is refused is refused with a status of its own, so the first comes first.
            first = next(objects)
            self._begin_stream()
            for each in chain([first], objects):
                self._event(json.dumps(each))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            if not self._begun:
                raise
            self._event(json.dumps(failure_of(error).body))
        else:
            self._event("[DONE]")
        finally:
            objects.close()
        if self.request_version != "HTTP/1.0":
            self.wfile.write(b"0\r\n\r\n")

    def _begin_stream(self) -> None:
        self._begun = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        if self.request_version == "HTTP/1.0":
            self.close_connection = True
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _event(self, data: str) -> None:
        line = f"data: {data}\n\n".encode()
        if self.request_version == "HTTP/1.0":
            self.wfile.write(line)
        else:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))

    def _fail(self, failure: Failure) -> None:
        with suppress(OSError):
            self.close_connection = self.close_connection or self._unread or self.server.draining
            self._send(failure.status, failure.body, failure.headers)
            if self._unread:
                self._discard()

    def _send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", _JSON)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _discard(self) -> None:
        """Read a while what nobody wants: to close on it would lose the answer on its way."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_DISCARDED_S)
        end = time.monotonic() + _DISCARDED_S
        while time.monotonic() < end and self.rfile.read1(1 << 16):
            pass
