"""Questions over the server: events in order, one answer, searches, clients that leave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack.errors import GenerationError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.index.hybrid import HybridIndex
from ragstack.protocols import Capabilities
from ragstack.types import Influence
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.server.running import Server

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]

QUESTION = "Who built the lighthouse?"
BRIEF = {"question": QUESTION, "style": "brief"}


def script(reply: Any = "Agnes Murray") -> ScriptedGenerator:
    """A generator that always finds an answer."""
    return ScriptedGenerator(lambda _: reply, scores=lambda _messages, _text: -0.1)


def told(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a stream, by name."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_events_come_in_their_order(serve: Serve, client: Clients, filled: Path) -> None:
    web = client(serve(script()))
    response = web.post("/api/ask", json={"question": QUESTION, "style": "brief"})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = told(response.text)
    names = [name for name, _ in events]
    assert names[:3] == ["run", "retrieval", "passages"] and names[-2:] == ["citations", "done"]
    assert set(names[3:-2]) <= {"token"}
    passages = dict(events)["passages"]["passages"]
    assert {"title", "mark", "kind", "chunk_id", "trail"} <= set(passages[0])
    done = dict(events)["done"]
    assert "Agnes Murray" in done["answer"] and done["citations"]
    assert done["run"] == events[0][1]["run"]


def test_one_answer(serve: Serve, client: Clients, filled: Path) -> None:
    web = client(serve(script()))
    reply = web.post("/api/ask", json={"question": QUESTION, "style": "brief", "stream": False})
    assert "Agnes Murray" in reply.raise_for_status().json()["answer"]
    odd = web.post("/api/ask", json={"question": QUESTION, "style": "odd", "stream": False})
    assert odd.status_code == 400 and "odd" in odd.json()["error"]["message"]
    failed = told(web.post("/api/ask", json={"question": QUESTION, "style": "odd"}).text)
    assert [name for name, _ in failed] == ["run", "error"]


def test_searches(serve: Serve, client: Clients, filled: Path) -> None:
    web = client(serve(script()))
    found = web.post("/api/search", json={"question": QUESTION, "k": 2}).json()["passages"]
    assert len(found) == 2 and "lighthouse" in found[0]["text"]
    many = web.post("/api/search_many", json={"questions": [QUESTION, "Who pays?"], "k": 1})
    assert [len(one) for one in many.json()["passages"]] == [1, 1]
    full = web.post("/api/find", json={"question": QUESTION, "k": 2}).json()
    assert full["passages"][0]["chunk_id"] == found[0]["chunk_id"] and full["trace"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": 3},
        {"question": " "},
        {"question": "x", "k": 0},
        {"question": "x", "colour": "red"},
        {"question": "x", "transforms": ["nothing"]},
        {"question": "\ud800"},
        {"question": "x", "where": {"a": {"nonsense": 1}}},
    ],
)
def test_wrong_searches_are_refused(
    serve: Serve, client: Clients, filled: Path, body: dict[str, Any]
) -> None:
    response = client(serve(script())).post(
        "/api/search",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


def test_a_run_is_kept_and_followed_again(serve: Serve, client: Clients, filled: Path) -> None:
    web = client(serve(script()))
    done = web.post("/api/ask", json={**BRIEF, "stream": False}).json()
    run = web.get(f"/api/runs/{done['run']}").raise_for_status().json()
    assert run["state"] == "done" and run["answer"]["answer"] == done["answer"]
    assert run["prompt"]["messages"][0]["role"] == "system"
    assert {"retrieve", "search"} & {row["name"] for row in run["timings"]}
    kept = [row for row in run["candidates"] if row["kept"]]
    assert kept and len(kept) < len(run["candidates"])
    assert all(row["why"] and row["trail"] for row in run["candidates"])
    events = told(web.get(f"/api/runs/{done['run']}/events", params={"after": 1}).text)
    assert [name for name, _ in events][:2] == ["retrieval", "passages"]
    assert events[-1][0] == "done"
    (listed,) = web.get("/api/runs").json()["runs"]
    assert listed["id"] == done["run"] and "answer" not in listed
    assert web.get("/api/runs/run-0").status_code == 404
    said = {"run": done["run"], "value": -1, "reason": "too short"}
    assert web.post("/api/feedback", json=said).status_code == 200
    assert web.post("/api/feedback", json={**said, "run": "x"}).status_code == 404
    (one,) = web.get("/api/feedback").json()["feedback"]
    assert one["reason"] == "too short"


def test_a_run_outlives_the_server(serve: Serve, client: Clients, filled: Path) -> None:
    server = serve(script())
    done = client(server).post("/api/ask", json={**BRIEF, "stream": False}).json()
    server.stop(5)
    web = client(serve(script()))
    assert web.get(f"/api/runs/{done['run']}").json()["answer"]["answer"] == done["answer"]
    events = told(web.get(f"/api/runs/{done['run']}/events").text)
    assert events[0][0] == "run" and events[-1] == ("done", done)


class Held:
    """A script that waits to be let go before it says its last words."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.waiting = threading.Event()

    def __call__(self, _messages: Any) -> str:
        self.waiting.set()
        assert self.let_go.wait(20)
        return "Agnes Murray"


@pytest.mark.parametrize("keep", [False, True])
def test_who_leaves_stops_a_run_that_is_not_kept(
    serve: Serve, client: Clients, filled: Path, keep: bool
) -> None:
    held = Held()
    server = serve(ScriptedGenerator(held, scores=lambda _messages, _text: -0.1))
    web = client(server)
    with web.stream("POST", "/api/ask", json={**BRIEF, "keep": keep}) as response:
        lines = response.iter_lines()  # held: a dropped iterator closes the stream
        line = next(line for line in lines if line.startswith("data: "))
        run = json.loads(line.removeprefix("data: "))["run"]
        assert held.waiting.wait(10)
    live = server.house.runs.get(run, Caller())
    assert live is not None
    assert live.cancel.wait(0.3 if keep else 20) != keep
    held.let_go.set()
    end = time.monotonic() + 10
    while (state := web.get(f"/api/runs/{run}").json()["state"]) == "running":
        assert time.monotonic() < end
        time.sleep(0.02)
    assert state == ("done" if keep else "cancelled")


def test_what_each_passage_did_is_found_out_and_kept(
    serve: Serve, client: Clients, filled: Path
) -> None:
    server = serve(script())
    web = client(server)
    done = web.post("/api/ask", json={**BRIEF, "stream": False}).json()
    path = f"/api/runs/{done['run']}"
    assert "attribution" not in web.get(path).json()
    found = web.post(f"{path}/attribution", json={}).raise_for_status().json()
    assert {part["document_id"] for part in found["parts"]} == {
        one["document_id"] for one in done["passages"]
    }
    assert all(0 <= part["share"] <= 1 for part in found["parts"])
    assert web.get(path).json()["attribution"] == found
    server.stop(5)
    after = client(serve(script()))
    assert after.get(path).json()["attribution"] == found
    assert after.post(f"{path}/attribution", json={"exact": True}).json()["exact"]
    assert after.post("/api/runs/run-none/attribution", json={}).status_code == 404


def test_a_generator_that_forgets_parts_is_asked_to(
    serve: Serve, client: Clients, filled: Path
) -> None:
    class Forgetting(ScriptedGenerator):
        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, attribution=True)

        def attribute(
            self, _messages: Any, parts: Any, _answer: str, *, exact: bool = False
        ) -> Influence:
            return Influence(-1.0, tuple(-2.0 - n for n in range(len(parts))), exact)

    told = Forgetting(lambda _: "Agnes Murray", scores=lambda _messages, _text: -0.1)
    web = client(serve(told))
    done = web.post("/api/ask", json={**BRIEF, "stream": False}).json()
    found = web.post(f"/api/runs/{done['run']}/attribution", json={}).raise_for_status().json()
    assert not found["exact"] and found["logprob"] == -1.0
    assert sum(part["share"] for part in found["parts"]) == pytest.approx(1.0, abs=0.01)


def test_only_an_answer_is_attributed(serve: Serve, client: Clients, filled: Path) -> None:
    def fails(_messages: Any) -> str:
        raise GenerationError("no")

    web = client(serve(ScriptedGenerator(fails, scores=lambda _messages, _text: -0.1)))
    assert web.post("/api/ask", json={**BRIEF, "stream": False}).status_code >= 500
    (run,) = web.get("/api/runs").json()["runs"]
    reply = web.post(f"/api/runs/{run['id']}/attribution", json={})
    assert reply.status_code == 409 and reply.json()["error"]["code"] == "no_answer"


def test_a_run_is_cancelled(serve: Serve, client: Clients, filled: Path) -> None:
    held = Held()
    server = serve(ScriptedGenerator(held, scores=lambda _messages, _text: -0.1))
    found: list[str] = []

    def ask() -> None:
        body = {**BRIEF, "keep": True}
        answer = httpx.post(server.url + "/api/ask", json=body, timeout=30, trust_env=False)
        found.append(answer.text)

    asking = threading.Thread(target=ask)
    asking.start()
    assert held.waiting.wait(10)
    web = client(server)
    (run,) = web.get("/api/runs").json()["runs"]
    assert run["state"] == "running"
    web.post(f"/api/runs/{run['id']}/cancel").raise_for_status()
    held.let_go.set()
    asking.join(10)
    assert told(found[0])[-1][0] == "error"
    assert web.get(f"/api/runs/{run['id']}").json()["state"] == "cancelled"


def test_a_stop_says_so_to_those_who_ask(serve: Serve, client: Clients, filled: Path) -> None:
    held = Held()
    server = serve(ScriptedGenerator(held, scores=lambda _messages, _text: -0.1))
    lines: list[str] = []

    def ask() -> None:
        body = {**BRIEF, "keep": True}
        url = server.url + "/api/ask"
        with httpx.stream("POST", url, json=body, timeout=30, trust_env=False) as response:
            lines.extend(response.iter_lines())

    asking = threading.Thread(target=ask)
    asking.start()
    assert held.waiting.wait(10)
    server.stop(0)
    asking.join(10)
    held.let_go.set()
    assert "event: error" in lines and "given up" in "".join(lines)


def test_chats(serve: Serve, client: Clients, filled: Path) -> None:
    web = client(serve(script()))
    first = web.post("/api/ask", json={**BRIEF, "chat": "c1", "stream": False}).json()
    again = {"question": "And when?", "style": "brief", "chat": "c1", "stream": False}
    second = web.post("/api/ask", json=again).raise_for_status().json()
    chat = web.get("/api/chats/c1").json()
    assert chat["title"] == QUESTION
    assert [turn["run"] for turn in chat["turns"]] == [first["run"], second["run"]]
    assert [one["id"] for one in web.get("/api/chats", params={"q": "AND when"}).json()["chats"]]
    assert web.get("/api/chats", params={"q": "zebra"}).json()["chats"] == []
    assert web.patch("/api/chats/c1", json={"title": "Lights"}).json()["title"] == "Lights"
    assert [run["id"] for run in web.get("/api/runs", params={"chat": "c1"}).json()["runs"]] == [
        second["run"],
        first["run"],
    ]
    assert web.delete("/api/chats/c1").json() == {"removed": 1}
    assert web.get("/api/chats/c1").status_code == 404


def test_an_answer_given_again_replaces_the_last(
    serve: Serve, client: Clients, filled: Path
) -> None:
    web = client(serve(script()))
    body = {**BRIEF, "chat": "c1", "stream": False}
    early = web.post("/api/ask", json={**body, "again": True})
    assert early.status_code == 400 and "no answer" in early.json()["error"]["message"]
    first = web.post("/api/ask", json=body).json()["run"]
    second = web.post("/api/ask", json={**body, "question": "And when?"}).json()["run"]
    for _ in range(2):
        body = {**body, "question": "And when?", "again": True}
        last = web.post("/api/ask", json=body).raise_for_status().json()["run"]
    before, now = web.get("/api/chats/c1").json()["turns"]
    assert before["run"] == first and before["earlier"] == []
    assert now["run"] == last and now["question"] == "And when?"
    assert now["earlier"][0] == second and len(now["earlier"]) == 2
    assert web.get(f"/api/runs/{second}").json()["state"] == "done", "to be compared"
    # The turn that is replaced is not what the question is put in the light of.
    messages = web.get(f"/api/runs/{last}").json()["prompt"]["messages"]
    assert all(
        web.get(f"/api/runs/{second}").json()["answer"]["answer"] not in m["content"]
        for m in messages
        if m["role"] == "assistant"
    )


def test_candidates_are_those_of_the_search_that_answered(
    serve: Serve, client: Clients, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    search = HybridIndex.search_with_trail

    def counted(self: HybridIndex, queries: Any, **more: Any) -> Any:
        asked.extend(queries)
        return search(self, queries, **more)

    monkeypatch.setattr(HybridIndex, "search_with_trail", counted)
    (filled / "ragstack.toml").write_text('[rerank]\nuse = "mmr"\n', "utf-8")
    web = client(serve(script()))
    done = web.post("/api/ask", json={**BRIEF, "stream": False}).json()
    assert asked == [QUESTION], "no second search is made for show"
    rows = web.get(f"/api/runs/{done['run']}").json()["candidates"]
    full = web.post("/api/find", json={"question": QUESTION, "k": 2}).json()
    assert len(asked) == 2
    for row in (*rows, *full["candidates"]):
        assert "weighted" in row["trail"] and {"lexical", "vector"} & set(row["trail"])
        given = "rerank" in row["trail"]
        assert given or (not row["kept"] and "when fused" in row["why"]), row
    plain = web.post("/api/search", json={"question": QUESTION, "k": 2}).json()["passages"]
    kept = [row["chunk_id"] for row in full["candidates"] if row["kept"]]
    assert kept == [one["chunk_id"] for one in plain], "looking changes nothing"
    scores = [row["trail"].get("rerank", -9.0) for row in full["candidates"]]
    assert len(scores) > 2 and scores == sorted(scores, reverse=True)
    assert full["candidates"][2]["why"] == "behind the best 2 of the reranker"


def test_fifty_clients_at_once(serve: Serve, client: Clients, filled: Path) -> None:
    server = serve(script())
    client(server).post("/api/ask", json={**BRIEF, "stream": False}).raise_for_status()
    found: list[str] = []

    def ask() -> None:
        url = server.url + "/api/ask"
        answer = httpx.post(url, json=BRIEF, timeout=120, trust_env=False)
        found.append(told(answer.text)[-1][0])

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["done"] * 50
