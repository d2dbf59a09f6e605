"""Against a real HTTP server on loopback, which answers well and badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from ragstack import http
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.embedding.remote import RemoteEmbedder
from ragstack.errors import ConfigError, RemoteError

Answer = tuple[int, Any, dict[str, str]]


class EmbeddingServer:
    """Answers as OpenAI does, with what ``plans`` says first."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.plans: list[Callable[[dict[str, Any]], Answer]] = []
        self._hashing = HashingEmbedder(dimensions=32)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, **body})
                outer.headers.append(dict(self.headers))
                plan = outer.plans.pop(0) if outer.plans else outer.well
                status, content, headers = plan(body)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def well(self, body: dict[str, Any]) -> Answer:
        size = body.get("dimensions", 32)
        rows = 3 * self._hashing.embed_documents(body["input"])[:, :size]
        data = [{"index": i, "embedding": row.tolist()} for i, row in enumerate(rows)]
        return 200, {"data": data[::-1], "model": body["model"]}, {}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    made = EmbeddingServer()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waits.append)
    return waits


@pytest.fixture
def embedder(server: EmbeddingServer) -> Iterator[RemoteEmbedder]:
    made = RemoteEmbedder(url=server.url, model="m", batch=4)
    yield made
    made.close()


def _plan(status: int, content: Any, **headers: str) -> Callable[[dict[str, Any]], Answer]:
    return lambda _body: (status, content, headers)


def test_texts_go_in_batches_and_come_back_in_order(
    server: EmbeddingServer, embedder: RemoteEmbedder
) -> None:
    texts = [f"text number {number}" for number in range(10)]
    rows = embedder.embed_documents(texts)
    assert rows == pytest.approx(HashingEmbedder(dimensions=32).embed_documents(texts), abs=1e-5)
    assert [len(request["input"]) for request in server.requests] == [1, 4, 4, 2]
    assert {request["path"] for request in server.requests} == {"/v1/embeddings"}
    assert "dimensions" not in server.requests[0]


def test_dimensions_and_key_are_sent(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBED_KEY", "sesame")
    made = RemoteEmbedder(url=server.url + "/", model="m", key={"env": "EMBED_KEY"}, dimensions=8)
    assert made.dimensions == 8
    assert server.requests == []
    assert made.embed_queries(["a roof"]).shape == (1, 8)
    assert server.requests[0]["dimensions"] == 8
    assert server.headers[0]["Authorization"] == "Bearer sesame"
    assert made.fingerprint == "remote:m:8"
    made.close()
    made.close()


def test_the_empty_text_is_no_error(server: EmbeddingServer, embedder: RemoteEmbedder) -> None:
    embedder.embed_documents(["", "a"])
    assert all(text for request in server.requests for text in request["input"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(
    server: EmbeddingServer, embedder: RemoteEmbedder, no_waiting: list[float], status: int
) -> None:
    server.plans = [_plan(status, {}), _plan(status, {}, **{"Retry-After": "7"})]
    assert embedder.dimensions == 32
    assert no_waiting == [0.5, 7.0]


def test_it_gives_up_in_the_end(server: EmbeddingServer, embedder: RemoteEmbedder) -> None:
    server.plans = [_plan(503, {"error": "loading"})] * 9
    with pytest.raises(RemoteError, match=r"503.*loading") as caught:
        embedder.embed_queries(["x"])
    assert caught.value.retryable
    assert len(server.requests) == 4


def test_a_refusal_is_final(server: EmbeddingServer, embedder: RemoteEmbedder) -> None:
    server.plans = [_plan(401, {"error": "who are you"})]
    with pytest.raises(RemoteError, match="key option") as caught:
        embedder.embed_queries(["x"])
    assert not caught.value.retryable
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_named(no_waiting: list[float]) -> None:
    made = RemoteEmbedder(url="http://127.0.0.1:9/v1", model="m")
    with pytest.raises(RemoteError, match="cannot be reached") as caught:
        made.embed_queries(["x"])
    assert caught.value.retryable
    assert len(no_waiting) == 3
    made.close()


BAD_ANSWERS: dict[str, Any] = {
    "no json": b"<html>",
    "a list": [1, 2],
    "no data": {"error": None},
    "no index": {"data": [{"embedding": [1.0]}]},
    "too few": {"data": []},
    "too many": {"data": [{"index": i, "embedding": [1.0]} for i in range(5)]},
    "empty rows": {"data": [{"index": 0, "embedding": []}]},
    "no numbers": {"data": [{"index": 0, "embedding": ["a", "b"]}]},
    "base64": {"data": [{"index": 0, "embedding": "AACAPw=="}]},
    "not finite": b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}',
    "null": {"data": [{"index": 0, "embedding": None}]},
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_wrong_answer_is_shown(
    server: EmbeddingServer, embedder: RemoteEmbedder, name: str
) -> None:
    server.plans = [_plan(200, BAD_ANSWERS[name])] * 9
    with pytest.raises(RemoteError, match="expected"):
        embedder.embed_queries(["x"])


def test_rows_of_changing_length_are_refused(
    server: EmbeddingServer, embedder: RemoteEmbedder
) -> None:
    embedder.embed_queries(["x"])
    server.plans = [_plan(200, {"data": [{"index": 0, "embedding": [1.0, 2.0]}]})]
    with pytest.raises(RemoteError, match="2 numbers for 'm'; expected 32"):
        embedder.embed_queries(["x"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "localhost:8080"}, "http"),
        ({"batch": 0}, "batch"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"dimensions": -1}, "dimensions"),
        ({"key": "sk-written-out"}, "secret"),
        ({"key": {"env": "NOT_SET_ANYWHERE"}}, "NOT_SET_ANYWHERE"),
    ],
)
def test_options_are_checked(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RemoteEmbedder(**{"url": "http://127.0.0.1:1/v1", "model": "m", **options})


def test_zero_rows_become_unit_rows(server: EmbeddingServer, embedder: RemoteEmbedder) -> None:
    embedder.embed_queries(["x"])
    server.plans = [_plan(200, {"data": [{"index": 0, "embedding": [0.0] * 32}]})]
    assert np.linalg.norm(embedder.embed_queries(["x"])) == pytest.approx(1)
