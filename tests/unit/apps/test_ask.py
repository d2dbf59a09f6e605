"""Questions over the server: events in order, one answer, searches, clients that leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack_apps.server.running import Server

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]

QUESTION = "Who built the lighthouse?"


def script(reply: Any = "Agnes Murray built it.") -> ScriptedGenerator:
    """A generator that always finds an answer."""
    return ScriptedGenerator(lambda _: reply, scores=lambda _messages, _text: -0.1)


@pytest.fixture
def filled(tmp_path: Path, corpus_folder: Path) -> Path:
    """A base with a few documents, where ``serve`` looks for it."""
    folder = tmp_path / "kb"
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}, generator=script()) as stack:
        stack.ingest(corpus_folder)
    return folder


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
        {"question": "x", "collection": "../x"},
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
