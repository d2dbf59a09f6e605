from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from ragstack.http import OpenStream


class Endless(BaseHTTPRequestHandler):
    """Streams until the reader goes away, and says that it noticed."""

    gone = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"piece\n" * 1000)
                self.wfile.flush()
        except OSError:
            self.gone.set()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Endless.gone.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def reading(client: httpx.Client, url: str) -> Iterator[bytes]:
    response = client.send(client.build_request("GET", url), stream=True)
    stream = OpenStream(response)
    try:
        for piece in stream.pieces:  # noqa: UP028 (would close the pieces with this generator)
            yield piece
    finally:
        stream.leave()


def test_a_dropped_stream_is_closed_though_httpx_holds_its_lock(url: str) -> None:
    """As when the garbage collector runs in the midst of another request of the same thread."""
    dropped = threading.Event()
    with httpx.Client() as client:

        def drop() -> None:
            pieces = reading(client, url)
            next(pieces)
            held: list[object] = [pieces]
            held.append(held)  # a cycle, which only the collector ends
            # What a request holds while it chooses a connection.
            with client._transport._pool._optional_thread_lock:  # type: ignore[attr-defined]
                del pieces, held
                gc.collect()
                dropped.set()

        threading.Thread(target=drop, daemon=True).start()
        assert dropped.wait(20), "closing waits for the lock that its own thread holds"
        assert Endless.gone.wait(20), "the server still streams"
    until = time.monotonic() + 20
    while OpenStream._open and time.monotonic() < until:
        time.sleep(0.01)
    assert not OpenStream._open


def test_what_was_read_is_closed_at_once(url: str) -> None:
    with httpx.Client() as client:
        response = client.send(client.build_request("GET", url), stream=True)
        stream = OpenStream(response)
        assert next(stream.pieces)
        stream.close()
        assert response.is_closed
        assert stream not in OpenStream._open
