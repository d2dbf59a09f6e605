"""Against a real HTTP server on loopback that speaks the three dialects."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from ragstack import http
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import ConfigError, RemoteError
from ragstack.rerank.remote import RemoteReranker
from ragstack.testing.rerankers import RerankerSuite, passage

_EMBEDDER = HashingEmbedder()


class RerankServer:
    """Answers by cosine, in the form of the path it was asked at; ``plans`` come first."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.plans: list[tuple[int, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, **body})
                outer.keys.append(self.headers.get("Authorization"))
                status, content = (
                    outer.plans.pop(0) if outer.plans else (200, outer.well(self.path, body))
                )
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def well(self, path: str, body: dict[str, Any]) -> Any:
        texts = body["texts"] if path == "/rerank" else body["documents"]
        scores = _EMBEDDER.embed_documents(texts) @ _EMBEDDER.embed_queries([body["query"]])[0]
        order = sorted(range(len(texts)), key=lambda row: -scores[row])
        if path == "/rerank":
            return [{"index": row, "score": float(scores[row])} for row in order]
        rows = [{"index": row, "relevance_score": float(scores[row])} for row in order]
        return {"id": "r", "results": rows, "meta": {}}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[RerankServer]:
    made = RerankServer()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waits.append)
    return waits


@pytest.fixture
def make() -> Iterator[Callable[..., RemoteReranker]]:
    made: list[RemoteReranker] = []

    def new(url: str, **options: Any) -> RemoteReranker:
        made.append(RemoteReranker(url=url, **options))
        return made[-1]

    yield new
    for each in made:
        each.close()


Make = Callable[..., RemoteReranker]


class TestServer(RerankerSuite):
    servers: ClassVar[list[RerankServer]] = []

    @pytest.fixture(autouse=True)
    def _server(self, server: RerankServer) -> None:
        self.servers[:] = [server]

    def make(self) -> RemoteReranker:
        return RemoteReranker(url=self.servers[0].url, model="m")


@pytest.mark.parametrize(
    ("dialect", "path", "sent"),
    [
        ("cohere", "/v2/rerank", {"model": "m", "documents": ["a", " . "], "top_n": 2}),
        ("jina", "/v1/rerank", {"model": "m", "documents": ["a", " . "], "top_n": 2}),
        ("tei", "/rerank", {"texts": ["a", " . "], "raw_scores": True, "truncate": True}),
    ],
)
def test_dialects(
    server: RerankServer,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    path: str,
    sent: dict[str, Any],
) -> None:
    monkeypatch.setenv("RERANK_KEY", "secret")
    reranker = make(server.url + "/", model="m", dialect=dialect, key={"env": "RERANK_KEY"})
    scores = reranker.score("a", [passage(0, "a"), passage(1, "")])
    assert server.requests == [{"path": path, "query": "a", **sent}]
    assert server.keys == ["Bearer secret"]
    assert scores[0] == pytest.approx(1.0) and scores[1] < 0.5


def test_passages_go_in_batches(server: RerankServer, make: Make) -> None:
    reranker = make(server.url, dialect="tei", batch=2)
    texts = ("a b", "b c", "c d", "d a", "a")
    scores = reranker.score("a", [passage(n, text) for n, text in enumerate(texts)])
    assert [len(request["texts"]) for request in server.requests] == [2, 2, 1]
    assert scores[4] == max(scores)


def test_a_busy_server_is_asked_again(
    server: RerankServer, make: Make, no_waiting: list[float]
) -> None:
    server.plans = [(503, {"error": "busy"}), (429, {})]
    reranker = make(server.url, model="m")
    assert len(reranker.score("a", [passage(0, "a")])) == 1
    assert no_waiting == [0.5, 1.0]


def test_a_refusal_is_final(server: RerankServer, make: Make) -> None:
    server.plans = [(401, {"error": "no key"})]
    with pytest.raises(RemoteError, match="401") as caught:
        make(server.url, model="m").score("a", [passage(0, "a")])
    assert "key" in caught.value.hint and len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"results": []},
        {"results": [{"index": 0, "relevance_score": None}]},
        {"results": [{"index": 7, "relevance_score": 0.5}]},
        {"scores": [1.0]},
        [[0, 1.0]],
        "fine",
    ],
)
def test_a_wrong_answer_is_shown(server: RerankServer, make: Make, answer: Any) -> None:
    server.plans = [(200, answer)]
    with pytest.raises(RemoteError, match="expected"):
        make(server.url, model="m").score("a", [passage(0, "a")])


def test_a_server_that_is_not_there_is_named(make: Make, no_waiting: list[float]) -> None:
    with pytest.raises(RemoteError, match="cannot be reached") as caught:
        make("http://127.0.0.1:9", model="m").score("a", [passage(0, "a")])
    assert caught.value.retryable and len(no_waiting) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://x", "model": "m"}, "http or https"),
        ({"url": "http://x", "model": "m", "dialect": "x"}, "no dialect"),
        ({"url": "http://x"}, "names a model"),
        ({"url": "http://x", "model": "m", "batch": 0}, "batch=0"),
        ({"url": "http://x", "model": "m", "timeout_s": 0}, "timeout_s=0"),
        ({"url": "http://x", "model": "m", "key": "sk-1"}, "itself"),
    ],
)
def test_options_are_checked(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RemoteReranker(**options)
