"""Which of several addresses is asked, and when one that failed is asked again."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ragstack.errors import RemoteError
from ragstack.generate import remote
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.routing import Router
from ragstack.types import Message, Sampling

_ASKED = [Message("user", "Who pays?")]
_SHORT = Sampling(max_tokens=5)


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _router(*urls: str, well: Callable[[str], bool] = lambda _: True) -> tuple[Router, _Clock]:
    clock = _Clock()
    return Router(urls, well, clock=clock), clock


def test_the_least_busy_one_is_taken_in_turn() -> None:
    router, _ = _router("a", "b", "c")
    first = [router.take() for _ in range(4)]
    assert [endpoint.url for endpoint in first] == ["a", "b", "c", "a"]
    router.give_back(first[1])
    assert router.take().url == "b"
    assert [endpoint.busy for endpoint in router.endpoints] == [2, 1, 1]


def test_one_that_failed_rests_longer_each_time() -> None:
    router, clock = _router("a", "b", well=lambda _: True)
    bad = router.take()
    router.give_back(bad)
    rests = []
    for _ in range(9):
        router.failed(bad)
        rests.append(bad.resting_until - clock.now)
        clock.now = bad.resting_until - 0.01
        assert router.take().url == "b"
    assert rests == pytest.approx([2, 4, 8, 16, 32, 64, 120, 120, 120])
    clock.now += 0.02
    assert router.take().url == "a"
    router.succeeded(bad)
    router.failed(bad)
    assert bad.resting_until == clock.now + 2


def test_a_rested_one_must_be_well_again() -> None:
    asked: list[str] = []
    router, clock = _router("a", "b", well=lambda url: asked.append(url) is not None)
    router.failed(router.endpoints[0])
    clock.now += 3
    assert router.take().url == "b"  # a is least busy and due, but not well
    assert asked == ["a"]
    assert router.endpoints[0].busy == 0
    assert router.endpoints[0].resting_until == clock.now + 4


def test_if_all_rest_the_first_that_is_due_is_taken() -> None:
    router, _ = _router("a", "b")
    router.failed(router.endpoints[0], 50.0)
    router.failed(router.endpoints[1])
    assert router.take().url == "b"
    assert not router.another(())
    alone, _ = _router("a", well=lambda _: False)
    alone.failed(alone.endpoints[0])
    assert alone.take().url == "a"


def test_from_many_threads_the_counts_stay_right() -> None:
    router, _ = _router("a", "b", "c")

    def work() -> None:
        for _ in range(200):
            endpoint = router.take()
            router.failed(endpoint)
            router.succeeded(endpoint)
            router.give_back(endpoint)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [endpoint.busy for endpoint in router.endpoints] == [0, 0, 0]


@dataclass
class _Server:
    """A server that answers with a status, or breaks off; an answer waits for ``gate``."""

    name: str
    status: int = 200
    broken: bool = False
    url: str = ""
    asked: int = 0
    checked: int = 0
    gate: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def _serve(name: str) -> Iterator[_Server]:
    state = _Server(name)
    state.gate.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.checked += 1
            self.send_response(state.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            state.asked += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(state.status)
            self.end_headers()
            for text in (state.name, "."):
                event = {"choices": [{"delta": {"content": text}}]}
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                self.wfile.flush()
                if state.broken:
                    return
                state.gate.wait(10)
            self.wfile.write(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')

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
    try:
        yield state
    finally:
        state.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[_Server, _Server]]:
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)
    with _serve("a") as a, _serve("b") as b:
        yield a, b


def _text(generator: RemoteGenerator) -> str:
    return "".join(delta.text for delta in generator.stream(_ASKED, sampling=_SHORT))


def test_requests_at_once_go_to_both(two: Any) -> None:
    a, b = two
    a.gate.clear()
    b.gate.clear()
    with RemoteGenerator(url=[a.url, b.url], model="m") as generator:
        streams = [generator.stream(_ASKED, sampling=_SHORT) for _ in range(4)]
        assert [next(stream).text for stream in streams] == ["a", "b", "a", "b"]
        assert [endpoint.busy for endpoint in generator.endpoints] == [2, 2]
        streams[1].close()  # type: ignore[attr-defined]
        assert [endpoint.busy for endpoint in generator.endpoints] == [2, 1]
        a.gate.set()
        b.gate.set()
        assert next(generator.stream(_ASKED, sampling=_SHORT)).text == "b"


def test_one_that_fails_gives_way_at_once_and_comes_back(two: Any) -> None:
    a, b = two
    a.status = 503
    with RemoteGenerator(url=[a.url, b.url], model="m", retries=1) as generator:
        assert [_text(generator) for _ in range(3)] == ["b."] * 3
        assert (a.asked, a.checked) == (1, 0)
        assert generator.health() == {a.url: False, b.url: True}
        a.status = 200
        generator.endpoints[0].resting_until = 0.0  # as if the time had passed
        assert {_text(generator) for _ in range(2)} == {"a.", "b."}
        assert a.checked == 2
        assert generator.endpoints[0].failures == 0


def test_one_that_is_gone(two: Any) -> None:
    _, b = two
    with RemoteGenerator(url=["http://127.0.0.1:9/v1", b.url], model="m", retries=1) as generator:
        assert _text(generator) == "b."


def test_what_broke_half_way_is_not_begun_elsewhere(two: Any) -> None:
    a, b = two
    a.broken = True
    with RemoteGenerator(url=[a.url, b.url], model="m") as generator:
        with pytest.raises(RemoteError, match="broke off half-way"):
            _text(generator)
        assert (a.asked, b.asked) == (1, 0)
        assert [endpoint.busy for endpoint in generator.endpoints] == [0, 0]


def test_a_wait_that_is_too_long_is_said(chat_server: Any) -> None:
    chat_server.play(b"later", status=429, Retry_After="3600")
    with (
        RemoteGenerator(url=chat_server.url, model="m") as generator,
        pytest.raises(RemoteError, match="429"),
    ):
        _text(generator)
    assert len(chat_server.requests) == 1
