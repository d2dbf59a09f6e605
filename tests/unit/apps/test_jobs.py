"""Ingests and runs that a stop of the server, or its death, found at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack import Stack
from ragstack.errors import BaseError, BaseLocked
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Record
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.server.bodies import AskBody
from ragstack_apps.server.job import Ingesting, Job
from ragstack_apps.server.running import Server
from ragstack_apps.server.runs import Run
from ragstack_apps.server.uploads import Upload, Uploads

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]


def ended(web: httpx.Client, job: str) -> dict[str, Any]:
    """Follow a job to its end; return it."""
    web.get(f"/api/ingest/{job}/events").raise_for_status()
    found: dict[str, Any] = web.get(f"/api/ingest/{job}").raise_for_status().json()
    return found


def sent(web: httpx.Client, *names: str) -> str:
    files = [("files", (name, f"Words of {name}".encode())) for name in names]
    return str(web.post("/api/ingest", files=files).raise_for_status().json()["job"])


def test_what_waits_when_the_server_stops_is_taken_up(serve: Serve, client: Clients) -> None:
    server = serve(ScriptedGenerator([]))
    web, jobs = client(server), server.house.jobs
    done = sent(web, "first.md")
    assert ended(web, done)["state"] == "done"
    writer = server.house.stack.writer
    with writer:  # so that the next one is at work, and stays so
        running = sent(web, "a.md", "b.md", "c.md")
        waiting, given_up = sent(web, "d.md"), sent(web, "e.md")
        assert web.post(f"/api/ingest/{given_up}/cancel").status_code == 200
        closing = threading.Thread(target=jobs.close)
        closing.start()
        caller = Caller()
        assert jobs.get(running, caller).cancel.wait(10)
    closing.join(20)
    assert {jobs.get(one, caller).state for one in (running, waiting)} == {"interrupted"}
    told = ended(web, running)["error"]["error"]["message"]
    assert "goes on when it starts again" in told
    server.stop(5)

    later = serve(ScriptedGenerator([]))
    web = client(later)
    assert ended(web, running)["state"] == "done" == ended(web, waiting)["state"]
    assert web.get(f"/api/ingest/{given_up}").json()["state"] == "cancelled"
    assert ended(web, done)["report"]["added"] == ["upload:first.md"]
    listed = [one["job"] for one in web.get("/api/ingest").json()["jobs"]]
    assert listed == [given_up, waiting, running, done]
    sources = {one["source"] for one in web.get("/api/documents").json()["documents"]}
    assert sources == {f"upload:{name}.md" for name in ("first", "a", "b", "c", "d")}


def left_behind(folder: Path, *jobs: Job) -> None:
    """Write a base as a server leaves it that is killed."""
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}) as stack:
        for at, job in enumerate(jobs):
            job.at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
            stack.parts.catalog.put_record(job.record())


def test_what_a_killed_server_was_at_is_taken_up_in_order(
    serve: Serve, client: Clients, tmp_path: Path
) -> None:
    folder = tmp_path / "kb"
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}) as stack:
        uploads = Uploads(folder / "uploads", stack.parts.catalog)
        note = tmp_path / "note.md"
        note.write_text("A note", "utf-8")
        with note.open("rb") as file:
            sha256, size = uploads.take(file)
    upload = Upload("note.md", sha256, size)
    whose = Caller("ann", ("hr",), frozenset({"read", "write"}), ("default",), "")
    left_behind(
        folder,
        Job(state="running", id="job-1", what=Ingesting(uploads=(upload,)), tries=1),
        Job(state="queued", id="job-2", what=Ingesting(paths=(str(note),), meta={"n": 1})),
        Job(state="queued", id="job-3", what=Ingesting(paths=(str(tmp_path / "gone"),))),
        Job(state="running", id="job-4", what=Ingesting(uploads=(upload,)), tries=3),
        Job(
            state="queued",
            id="job-5",
            what=Ingesting(connector={"use": "files", "paths": [str(note)]}, readers=("hr",)),
            caller=whose,
        ),
    )
    server = serve(ScriptedGenerator([]))
    server.house.stack.parts.catalog.put_record(
        Record("job", "odd", {"state": "queued"}, datetime.now(UTC))
    )
    web = client(server)
    assert ended(web, "job-1")["report"]["added"] == ["upload:note.md"]
    assert ended(web, "job-2")["report"]["added"] == [note.as_posix()]
    assert "no file or folder" in ended(web, "job-3")["error"]["error"]["message"]
    killed = ended(web, "job-4")
    assert killed["state"] == "interrupted" and "killed" in killed["error"]["error"]["message"]
    last = ended(web, "job-5")
    assert (last["state"], last["user"]) == ("done", "ann")
    assert last["report"]["updated"] == [note.as_posix()]
    server.stop(5)
    again = client(serve(ScriptedGenerator([])))
    assert again.get("/api/ingest/job-5").json()["state"] == "done", "an odd record is passed over"
    assert again.get("/api/ingest/job-4").json()["state"] == "interrupted"


def test_a_file_that_an_ingest_waits_for_is_not_deleted(
    serve: Serve, client: Clients, tmp_path: Path
) -> None:
    server = serve(ScriptedGenerator([]))
    web = client(server)
    assert ended(web, sent(web, "a.md"))["state"] == "done"
    (one,) = web.get("/api/documents").json()["documents"]
    with server.house.stack.writer:
        files = [("files", ("same.md", b"Words of a.md"))]
        waits = web.post("/api/ingest", files=files).json()["job"]
        server.house.jobs.uploads.forget("default", [one["id"]])
    assert ended(web, waits)["report"]["added"] == ["upload:same.md"]


def test_a_run_that_a_killed_server_was_at_is_there_as_failed(
    serve: Serve, client: Clients, filled: Path
) -> None:
    run = Run(id="run-1", body=AskBody.model_validate({"question": "Who built it?"}))
    run.say("run", {"run": run.id})
    body = {**run.shown(), "events": [{"id": 1, "event": "run", "data": {}}], "asker": []}
    with Stack.open(filled, overrides={"embed": {"use": "hashing"}}) as stack:
        stack.parts.catalog.put_record(Record("running", run.id, body, run.at))
    server = serve(ScriptedGenerator(["x"], scores=lambda _m, _t: -0.1))
    web = client(server)
    (listed,) = web.get("/api/runs").json()["runs"]
    assert (listed["id"], listed["state"]) == ("run-1", "failed")
    # Who had seen more of it than is remembered is told of its end too.
    text = web.get("/api/runs/run-1/events", params={"after": 40}).text
    assert "event: error" in text and "the server was stopped" in text
    catalog = server.house.stack.parts.catalog
    assert catalog.records("running", limit=9) == []
    asked = {"question": "Who built the lighthouse?", "stream": False}
    assert web.post("/api/ask", json=asked).status_code == 200
    assert catalog.records("running", limit=9) == [], "what has ended is at work no more"


@pytest.mark.parametrize(
    ("answer", "refusals", "state", "writes"),
    [
        ("Agnes Murray", 0, "done", 1),
        (BaseError("the script is lost"), 0, "failed", 1),
        ("Agnes Murray", 1, "done", 2),  # what could not be written is tried once more
    ],
)
def test_the_end_of_a_run_is_written_once(
    serve: Serve,
    client: Clients,
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | Exception,
    refusals: int,
    state: str,
    writes: int,
) -> None:
    def write(_messages: Any) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = serve(ScriptedGenerator(write, scores=lambda _m, _t: -0.1))
    web, catalog = client(server), server.house.stack.parts.catalog
    real, removed = catalog.remove_records, []

    def remove_records(kind: str, record_ids: Sequence[str]) -> int:
        if kind == "running":
            removed.append(tuple(record_ids))
            if len(removed) <= refusals:
                raise BaseLocked("another process is writing")
        return real(kind, record_ids)

    monkeypatch.setattr(catalog, "remove_records", remove_records)
    web.post("/api/ask", json={"question": "Who built the lighthouse?", "stream": False})
    server.house.runs.close()  # waits for the thread: it may write after it has told the end
    (run,) = web.get("/api/runs").json()["runs"]
    assert run["state"] == state
    assert removed == [(run["id"],)] * writes
    assert catalog.records("running", limit=9) == []
