from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ragstack import Answer, Client, Retrieved, Search, Stack
from ragstack.client.errors import error_of, refusal
from ragstack.client.uploads import Reading
from ragstack.errors import (
    BaseLocked,
    ConfigError,
    EngineBusy,
    InputError,
    NotAllowed,
    NotFound,
    NotSignedIn,
    RagstackError,
    RemoteError,
    UnknownPlugin,
)
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.testing.stacks import TEXTS, say, score
from ragstack.types import Source

QUESTION = "Who built the lighthouse?"
Reply = tuple[int, bytes, dict[str, str]]


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        path = tmp_path / "papers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "papers"


@pytest.fixture
def scripted() -> Iterator[Callable[..., tuple[Client, list[str]]]]:
    """Clients of a server that answers what it is told to, in order, and what it was asked."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread, Client]] = []

    def make(*replies: Reply) -> tuple[Client, list[str]]:
        asked: list[str] = []
        left = list(replies)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
                status, body, headers = left.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_DELETE = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = Client(f"http://127.0.0.1:{server.server_port}", api_key="secret", timeout_s=5)
        servers.append((server, thread, client))
        return client, asked

    yield make
    for server, thread, client in servers:
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()


def body(**told: object) -> bytes:
    return json.dumps({"error": told}).encode()


def events(*told: tuple[str, object]) -> bytes:
    return "".join(f"event: {n}\ndata: {json.dumps(d)}\n\n" for n, d in told).encode()


def _timeless(value: Any) -> Any:
    steps = tuple(
        replace(step, seconds=0.0, usage=replace(step.usage, seconds=0.0)) for step in value.trace
    )
    if isinstance(value, Answer):
        usage = replace(value.usage, seconds=0.0)
        return replace(value, trace=steps, seconds=dict.fromkeys(value.seconds, 0.0), usage=usage)
    return replace(value, trace=steps)


def test_values_are_those_of_the_stack(
    papers: Path, tmp_path: Path, serving: Callable[..., Any]
) -> None:
    """The same base, asked directly and over HTTP: equal to the last bit, times aside."""
    base, overrides = tmp_path / "kb", {"embed": {"use": "hashing"}}
    generator = ScriptedGenerator(say, scores=score)
    with Stack.open(base, overrides=overrides, generator=generator) as stack:
        stack.ingest(papers, meta={"year": 2020, "share": 0.1, "final": True, "note": None})
        with serving(base) as server, Client(server.url) as client:
            assert client.documents() == stack.documents()
            for info in stack.documents():
                assert client.document(info.id) == stack.document(info.id)
            assert client.search(QUESTION) == stack.search(QUESTION)
            assert client.search_many([QUESTION, "honey"]) == stack.search_many([QUESTION, "honey"])
            search = Search(2, {"year": {"gte": 2019}}, transforms=())
            there, here = client.find(QUESTION, search), stack.find(QUESTION, search)
            assert _timeless(there) == _timeless(here)
            assert _timeless(client.ask(QUESTION)) == _timeless(stack.ask(QUESTION))
            first, own = next(client.stream(QUESTION)), next(iter(stack.stream(QUESTION)))
            assert isinstance(first, Retrieved)
            assert _timeless(first) == _timeless(own)
            assert client.facets("share") == stack.facets("share")
            assert client.stats()["chunks"] == stack.stats()["chunks"]


def test_a_run_goes_on_without_its_client(
    papers: Path, tmp_path: Path, connected: Callable[[Path], Any]
) -> None:
    with connected(tmp_path / "kb") as client:
        client.ingest(papers)
        run = client.begin(QUESTION, style="brief")
        (*_, answer) = client.follow(run)
        assert isinstance(answer, Answer)
        assert "Agnes Murray" in answer.text
        assert list(client.follow(run))[-1] == answer
        assert client.run(run)["state"] == "done"
        assert client.run_attribution(run)["parts"] == client.run(run)["attribution"]["parts"]
        assert [row["id"] for row in client.runs()] == [run]
        client.feedback(run, 1, "as I hoped")
        assert client.feedbacks()[0]["reason"] == "as I hoped"
        client.cancel(run)
        with pytest.raises(NotFound):
            list(client.follow("run-of-nobody"))
        with pytest.raises(InputError):
            client.feedback(run, 0)


def test_what_a_server_keeps_can_be_had(
    papers: Path, tmp_path: Path, connected: Callable[[Path], Any]
) -> None:
    with connected(tmp_path / "kb") as client:
        report = client.ingest(papers / "lease.md", papers / "sub")
        assert sorted(report.added) == ["upload:lease.md", "upload:sub/bees.txt"]
        (lease,) = (info for info in client.documents() if "lease" in info.source)
        assert client.file(lease.id) == (papers / "lease.md").read_bytes()
        assert client.chunks(lease.id)[0]["text"] in TEXTS["lease.md"]
        with pytest.raises(InputError, match="is no PDF"):
            client.page_image(lease.id, 1, span=(0, 3))
        assert "rights" in client.me()
        assert client.models()["models"]
        assert [row["name"] for row in client.collections()] == ["default"]
        client.save_assistant({"name": "clerk", "instructions": "Be short."})
        assert [row["name"] for row in client.assistants()] == ["clerk"]
        client.delete_assistant("clerk")
        assert client.prompts()
        assert client.settings()
        assert client.map()["points"]
        assert client.ingests()[0]["state"] == "done"
        assert client.delete("sub") == 1
        assert client.delete("lease.md") == 1


def test_files_of_the_server_s_own_machine(
    papers: Path, tmp_path: Path, connected: Callable[[Path], Any]
) -> None:
    """With the one administrator that a server without accounts has."""
    with connected(tmp_path / "kb") as client:
        steps: list[Any] = []
        report = client.ingest_there(str(papers), progress=steps.append)
        assert len(report.added) == len(TEXTS) and steps
        again = client.ingest_there(connector={"use": "files", "paths": [str(papers)]})
        assert not again.added and len(again.unchanged) == len(TEXTS)
        for paths, connector in (((), None), ((str(papers),), {"use": "files"})):
            with pytest.raises(InputError, match="not both"):
                client.ingest_there(*paths, connector=connector)
        assert client.reingest(client.documents()[0].id)["job"]
        client.cancel_ingest(client.ingests()[0]["job"])
        with pytest.raises(NotFound):
            client.cancel_ingest("job-of-nobody")
        assert client.save_settings({"retrieve": {"k": 7}})
        client.save_prompt("en", "answer.brief", "Answer in a word.")
        assert client.restore_prompt("en", "answer.brief", 1)
        client.ingest_there(str(papers), collection="other")
        client.delete_collection("other")
        assert [row["name"] for row in client.collections()] == ["default"]


def test_batches_share_what_is_said_of_them(papers: Path) -> None:
    reading = Reading([papers], {"year": 2020}, ())
    (batch,) = reading.batches()
    assert len(batch.files) == len(TEXTS)
    assert json.loads(batch.form("c")["meta"]) == {"year": 2020}
    source = Source("other", b"x")
    assert not batch.full(source, {"year": 2020}, ())
    assert batch.full(source, {"year": 2021}, ())
    assert batch.full(source, {"year": 2020}, ("anna",))
    with pytest.raises(InputError, match="a path or a connector"):
        Reading([3], {}, ())  # type: ignore[list-item]


def test_keys_are_shown_and_wrong_ones_told(tmp_path: Path, serving: Callable[..., Any]) -> None:
    with serving(tmp_path / "kb", api_key="open sesame") as server:
        with Client(server.url, api_key="open sesame") as client:
            assert client.documents() == []
        with Client(server.url) as stranger, pytest.raises(NotSignedIn) as told:
            stranger.documents()
        assert "api_key" in told.value.hint
        assert "open sesame" not in repr(client.connection)


def test_nobody_asks_in_anothers_name() -> None:
    with Client("http://127.0.0.1:9") as client:
        for call in (client.search, client.ask, client.facets, client.chat):
            with pytest.raises(InputError, match="who asks"):
                call("x", asker=["anna"])
        with pytest.raises(InputError, match="who asks"):
            client.find("x", Search(asker=["anna"]))


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InputError, match="url is"):
        Client(url)


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, {"message": "m"}, InputError),
        (400, {"message": "m", "code": "unknown_plugin"}, UnknownPlugin),
        (401, {"message": "m", "code": "invalid_api_key"}, NotSignedIn),
        (403, {"message": "m", "code": "forbidden"}, NotAllowed),
        (404, {"message": "m"}, NotFound),
        (429, {"message": "m", "code": "engine_busy"}, EngineBusy),
        (503, {"message": "m", "code": "base_locked"}, BaseLocked),
        (501, {"message": "m", "code": "missing_extra"}, ConfigError),
        (500, {"message": "m"}, RemoteError),
        (0, {"message": "m", "type": "invalid_request_error"}, InputError),
        (0, {"message": "m", "code": "ragstack_error"}, RemoteError),
        (0, None, RemoteError),
    ],
)
def test_errors_are_of_their_class(status: int, told: Any, kind: type[RagstackError]) -> None:
    error = error_of({"error": told}, status=status)
    assert type(error) is kind
    assert error.message == ("m" if told else "the server answered 500")


def test_a_hint_comes_back_as_a_hint() -> None:
    error = error_of({"error": {"message": "no (do that)", "hint": "do that"}}, status=400)
    assert (error.message, error.hint) == ("no", "do that")
    assert "ragstack server" in refusal(404, "<html>nginx</html>").hint


def test_what_is_busy_is_asked_again(scripted: Any) -> None:
    busy = (503, body(message="wait", code="base_locked"), {"Retry-After": "0"})
    client, asked = scripted(busy, busy, (200, b'{"passages": []}', {}))
    assert client.search("x") == []
    assert asked == ["POST /api/search Bearer secret"] * 3


def test_what_changes_something_is_not_sent_twice(scripted: Any) -> None:
    listed = {"documents": [{"id": "d", "source": "s", "length": 1, "chunks": 1}], "total": 1}
    busy = (503, body(message="wait", code="base_locked"), {})
    client, asked = scripted((200, json.dumps(listed).encode(), {}), busy)
    with pytest.raises(BaseLocked):
        client.delete("s")
    assert [line.split()[0] for line in asked] == ["GET", "DELETE"]


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (events(("run", {"run": "r"}), ("token", {"text": "The", "reasoning": ""})), RemoteError),
        (events(("error", {"error": {"message": "m", "code": "engine_busy"}})), EngineBusy),
        (events(("done", {"answer": 3})), RemoteError),
        (b"event: token\ndata: {broken\n\n", RemoteError),
        (b"data: [1]\n\n", RemoteError),
        (b"", RemoteError),
        (b"<html>", RemoteError),
    ],
)
def test_streams_that_end_badly(scripted: Any, sent: bytes, kind: type[RagstackError]) -> None:
    client, _ = scripted((200, sent, {"Content-Type": "text/event-stream"}))
    with pytest.raises(kind):
        client.ask("Who?")


def test_a_followed_run_is_taken_up_where_it_broke(scripted: Any) -> None:
    answer = {"answer": "A", "abstained": False, "grounded": True}
    client, asked = scripted(
        (200, b'id: 1\nevent: token\ndata: {"text": "A\xe2\x80\xa8", "reasoning": ""}\n\n', {}),
        (200, b": ping\n\nid: 2\n" + events(("done", answer)), {}),
    )
    told = list(client.follow("r"))
    assert told[0].text == "A\u2028"
    assert told[1].text == "A"
    assert [line.split()[1] for line in asked] == [
        "/api/runs/r/events",
        "/api/runs/r/events?after=1",
    ]


def test_who_logs_in_is_asked_for_from_then_on(scripted: Any) -> None:
    told = {"user": "anna", "token": "ticket"}
    client, asked = scripted((200, json.dumps(told).encode(), {}), (200, b"", {}), (200, b"{}", {}))
    assert client.login("anna", "secret") == {"user": "anna"}
    client.logout()
    assert client.me() == {}
    assert [line.split(None, 2)[2] for line in asked] == ["Bearer secret", "Bearer ticket", "None"]


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), float("nan")])
def test_a_limit_that_is_no_length_of_time(limit: float) -> None:
    with pytest.raises(InputError, match="seconds above 0"):
        Client("http://127.0.0.1:9", timeout_s=limit)


def test_a_key_that_no_header_may_hold() -> None:
    with pytest.raises(InputError, match="no header"):
        Client("http://127.0.0.1:9", api_key="a\nb")


def test_what_is_no_json_is_an_error_of_the_server(scripted: Any) -> None:
    client, _ = scripted((200, b"<html>", {}))
    with pytest.raises(RemoteError):
        client.stats()


def test_an_answer_that_never_begins(scripted: Any) -> None:
    failing = events(("error", {"error": {"message": "m", "code": "engine_busy"}}))
    client, _ = scripted((200, failing, {}), (200, events(("step", {})), {}))
    with pytest.raises(EngineBusy):
        client.begin("Who?")
    with pytest.raises(RemoteError, match="began no run"):
        client.begin("Who?")


def test_an_ingest_whose_end_is_not_told_is_called_off(scripted: Any, papers: Path) -> None:
    begun = (202, b'{"job": "j"}', {})
    client, asked = scripted(begun, (200, b": nothing\n\n", {}))
    with pytest.raises(RemoteError, match="not of its end"):
        client.ingest(papers)
    failed = events(("error", {"error": {"message": "no room", "code": "engine_busy"}}))
    client, asked = scripted(begun, (200, failed, {}))
    with pytest.raises(EngineBusy):
        client.ingest(papers)
    step = {"kind": "added", "source": "s"}
    client, asked = scripted(begun, (200, events(("step", step)), {}), (200, b"{}", {}))

    def stop(_step: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.ingest(papers, progress=stop)
    assert asked[-1].startswith("POST /api/ingest/j/cancel")
    with pytest.raises(InputError, match="a list of names"):
        client.ingest(papers, readers="anna")


def test_a_server_that_is_not_there() -> None:
    with Client("http://127.0.0.1:9", timeout_s=1) as client:
        with pytest.raises(RemoteError, match="cannot be reached") as told:
            client.stats()
        assert told.value.retryable
    with pytest.raises(InputError, match="is closed"):
        client.stats()
