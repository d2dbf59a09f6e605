"""Documents over the server: sent in, followed, read, drawn, removed; nothing done by half."""

from __future__ import annotations

import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.testing.samples import pdf_bytes
from ragstack.types import Source
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.accounts.keys import Wanted
from ragstack_apps.server.running import Server

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(ScriptedGenerator([]))


@pytest.fixture
def web(server: Server, client: Clients) -> httpx.Client:
    return client(server)


def send(web: httpx.Client, files: dict[str, bytes], **fields: str) -> dict[str, Any]:
    """Send files in and wait; return the job."""
    parts = [("files", (name, data)) for name, data in files.items()]
    job = web.post("/api/ingest", files=parts, data=fields)
    assert job.status_code == 202, job.text
    return wait(web, job.json()["job"])


def wait(web: httpx.Client, job: str) -> dict[str, Any]:
    """Follow a job to its end; return it."""
    text = web.get(f"/api/ingest/{job}/events").text
    assert "event: done" in text or "event: error" in text
    found: dict[str, Any] = web.get(f"/api/ingest/{job}").json()
    return found


def test_files_become_documents(web: httpx.Client) -> None:
    files = {"a/boats.md": b"# Boats\n\nThe club owns nine boats.", "bad.pdf": b"%PDF-1.4 nothing"}
    job = send(web, files, meta='{"year": 2024}', readers="[]")
    assert job["state"] == "done" and job["total"] == 2 == job["done"]
    assert job["report"]["added"] == ["upload:a/boats.md"]
    assert [one["source"] for one in job["report"]["failed"]] == ["upload:bad.pdf"]
    (one,) = web.get("/api/documents").json()["documents"]
    assert one["title"] == "Boats" and one["meta"]["year"] == 2024
    where = f"/api/documents/{one['id']}"
    assert web.get(where).json()["text"].startswith("# Boats")
    chunks = web.get(f"{where}/chunks").json()["chunks"]
    assert "nine boats" in chunks[0]["text"]
    file = web.get(f"{where}/file")
    assert file.content == files["a/boats.md"]
    assert file.headers["content-disposition"].startswith("attachment")
    assert send(web, files)["report"]["unchanged"] == []  # the year is gone: it is read anew
    assert send(web, {"a/boats.md": files["a/boats.md"]})["report"]["unchanged"]
    found = web.post("/api/search", json={"question": "How many boats?"}).json()["passages"]
    assert found[0]["document_id"] == one["id"]
    again = web.post(f"{where}/reingest")
    assert wait(web, again.json()["job"])["report"]["updated"] == ["upload:a/boats.md"]
    assert web.delete(where).json() == {"removed": 1}
    assert web.get(where).status_code == 404 == web.get(f"{where}/file").status_code
    assert web.post("/api/search", json={"question": "boats"}).json()["passages"] == []


def test_an_upload_nobody_has_any_more_is_deleted(web: httpx.Client, server: Server) -> None:
    send(web, {"a.md": b"One text", "b.md": b"One text"})
    folder = server.house.stack.folder / "uploads"
    assert len(list(folder.iterdir())) == 1
    ids = [one["id"] for one in web.get("/api/documents").json()["documents"]]
    web.delete(f"/api/documents/{ids[0]}")
    assert len(list(folder.iterdir())) == 1
    web.delete(f"/api/documents/{ids[1]}")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../x.md", {}),
        ("..", {}),
        ("x.md", {"meta": "{"}),
        ("x.md", {"meta": '{"a": [1]}'}),
        ("x.md", {"readers": '"a"'}),
        ("x.md", {"collection": "../x"}),
    ],
)
def test_wrong_uploads_are_refused(web: httpx.Client, name: str, fields: dict[str, str]) -> None:
    refused = web.post("/api/ingest", files=[("files", (name, b"x"))], data=fields)
    assert refused.status_code == 400, refused.text
    assert web.get("/api/ingest").json() == {"jobs": []}


def test_paths_and_connectors(web: httpx.Client, corpus_folder: Path) -> None:
    job = web.post("/api/ingest", json={"paths": [str(corpus_folder)]})
    report = wait(web, job.json()["job"])["report"]
    assert len(report["added"]) == len(web.get("/api/documents").json()["documents"])
    body = {"connector": {"use": "files", "paths": [str(corpus_folder)]}, "collection": "two"}
    wait(web, web.post("/api/ingest", json=body).json()["job"])
    rows = web.get("/api/collections").json()["collections"]
    assert [row["name"] for row in rows] == ["default", "two"]
    page = web.get("/api/documents", params={"limit": 2, "offset": 1}).json()
    assert len(page["documents"]) == 2 and page["total"] == len(report["added"])
    assert web.delete("/api/collections/two").json()["removed"] == page["total"]
    assert web.get("/api/documents", params={"collection": "two"}).status_code == 404
    for wrong in ({}, {"paths": "x"}, {"connector": {"use": "nothing"}}, {"paths": ["a\0b"]}):
        assert web.post("/api/ingest", json=wrong).status_code == 400
    missing = wait(web, web.post("/api/ingest", json={"paths": ["/no/such"]}).json()["job"])
    assert missing["state"] == "failed" and "/no/such" in missing["error"]["error"]["message"]


def test_a_job_is_cancelled_between_documents(web: httpx.Client, server: Server) -> None:
    """Others wait for it; what it took in is whole, and found."""
    stack, held, reached = server.house.stack, threading.Event(), threading.Event()
    chunk = stack.parts.chunker.chunk

    def slow(document: Any) -> Any:
        if "7.md" in document.source:
            reached.set()
            assert held.wait(20)
        return chunk(document)

    stack.parts.chunker.chunk = slow  # type: ignore[method-assign]
    parts = [("files", (f"{n}.md", f"Document {n} is about foxes".encode())) for n in range(20)]
    job = web.post("/api/ingest", files=parts).json()["job"]
    later = web.post("/api/ingest", files=[("files", ("z.md", b"Zebras graze"))]).json()["job"]
    assert reached.wait(20)
    assert web.get(f"/api/ingest/{later}").json()["state"] == "queued"
    assert web.post("/api/search", json={"question": "foxes"}).status_code == 200
    web.post(f"/api/ingest/{job}/cancel").raise_for_status()
    held.set()
    found = wait(web, job)
    assert found["state"] == "cancelled" and 0 < found["done"] < 20
    assert wait(web, later)["state"] == "done"
    stats = web.get("/api/stats").json()
    assert stats["documents"] == found["done"] + 1
    assert {one["behind"] for one in stats["indexes"].values()} == {0}


def test_a_stop_leaves_no_ingest_half_done(serve: Serve, client: Clients) -> None:
    server = serve(ScriptedGenerator([]))
    web = client(server)
    parts = [("files", (f"{n}.md", f"Document {n} is about foxes".encode())) for n in range(200)]
    job = web.post("/api/ingest", files=parts).raise_for_status().json()["job"]
    time.sleep(0.2)
    server.stop(5)
    server.house.close()
    # What had been taken in is searchable, whole; what had not is taken in by the next server.
    with Stack.open(server.house.stack.folder, overrides={"embed": {"use": "hashing"}}) as stack:
        assert {one["behind"] for one in stack.stats()["indexes"].values()} == {0}
    after = client(serve(ScriptedGenerator([])))
    assert wait(after, job)["state"] == "done"
    stats = after.get("/api/stats").json()
    assert stats["documents"] == 200
    assert {one["behind"] for one in stats["indexes"].values()} == {0}


def test_a_page_is_drawn_with_its_quote(web: httpx.Client) -> None:
    first = [
        (50.0, 50.0, 12.0, "The roof is repaired by the club."),
        (50.0, 70.0, 12.0, "It rains."),
    ]
    second = [(50.0, 50.0, 12.0, "The second page")]
    send(web, {"deed.pdf": pdf_bytes([first, second])})
    (one,) = web.get("/api/documents").json()["documents"]
    where = f"/api/documents/{one['id']}"
    text = web.get(where).json()["text"]
    start = text.index("repaired")
    plain = web.get(f"{where}/pages/1.png")
    assert plain.headers["content-type"] == "image/png"
    marked = web.get(f"{where}/pages/1.png", params={"start": start, "end": start + 20})
    assert _yellow(plain.content) == 0 < _yellow(marked.content)
    assert web.get(f"{where}/pages/3.png").status_code == 404
    send(web, {"note.md": b"No pages here"})
    (note,) = web.get("/api/documents", params={"q": "note.md"}).json()["documents"]
    assert web.get(f"/api/documents/{note['id']}/pages/1.png").status_code == 400


def _yellow(picture: bytes) -> int:
    width, height = struct.unpack(">II", picture[16:24])
    data, at = b"", 8
    while at < len(picture):
        (size,) = struct.unpack(">I", picture[at : at + 4])
        if picture[at + 4 : at + 8] == b"IDAT":
            data += picture[at + 8 : at + 8 + size]
        at += 12 + size
    rows = zlib.decompress(data)
    pixels = (rows[y * (width * 3 + 1) + 1 :][: width * 3] for y in range(height))
    return sum(
        1 for row in pixels for x in range(0, len(row), 3) if row[x] > 200 and row[x + 2] < 120
    )


def test_documents_with_readers_are_for_them_alone(web: httpx.Client) -> None:
    send(web, {"open.md": b"All may know of foxes"})
    send(web, {"secret.md": b"Few may know of foxes"}, readers=json.dumps(["board"]))
    listed = web.get("/api/documents").json()
    assert [one["source"] for one in listed["documents"]] == ["upload:open.md"]
    assert listed["total"] == 1
    found = web.post("/api/find", json={"question": "foxes"}).json()
    shown = {row["source"] for row in (*found["passages"], *found["candidates"])}
    assert shown == {"upload:open.md"}
    assert [p["title"] for p in web.get("/api/map").json()["points"]] == ["open.md"]


def test_counts_tell_nothing_of_what_is_for_others(
    serve: Serve, client: Clients, server: Server
) -> None:
    accounts = server.house.accounts
    _, admin = accounts.add_key(Caller(), Wanted("a", ("admin",)))
    _, anybody = accounts.add_key(Caller(), Wanted("b", ("read",)))
    accounts.add_user(Caller(), "ann", "correct horse", groups=["board"])
    _, board = accounts.add_key(Caller(), Wanted("c", ("read",), user="ann"))
    as_admin, web, member = (client(server) for _ in range(3))
    for one, key in ((as_admin, admin), (web, anybody), (member, board)):
        one.headers["Authorization"] = f"Bearer {key}"

    def seen(one: httpx.Client) -> Any:
        stats = one.get("/api/stats").raise_for_status().json()
        (row,) = one.get("/api/collections").json()["collections"]
        facets = one.get("/api/facets/kind").json()["facets"]
        assert row["documents"] == stats["documents"] and row["chunks"] == stats["chunks"]
        return stats, stats["documents"], facets

    send(as_admin, {"open.md": b"All may know"}, meta='{"kind": "open"}')
    before = seen(web)
    assert before[1] == 1
    send(as_admin, {"s.md": b"Few may know"}, meta='{"kind": "secret"}', readers='["board", "ann"]')
    assert seen(web) == before, "not a number of it changes"
    assert not {"bytes"} & set(before[0]) and all(
        set(index) == {"use"} for index in before[0]["indexes"].values()
    )
    assert seen(member)[1] == 2 and len(seen(member)[2]) == 2
    full = as_admin.get("/api/stats").json()
    assert full["documents"] == 2 and full["bytes"] > 0 and full["indexes"]["lexical"]["chunks"]


class Elsewhere:
    """A connector that calls its documents whatever it likes."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    def fetch(self, *, since: Any = None) -> Iterator[Source]:
        for address in self._addresses:
            yield Source(address, b"Words of another place", "text/plain")


def test_only_files_that_were_taken_in_as_files_are_served(
    web: httpx.Client, server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "docs"
    (folder / ".hidden").mkdir(parents=True)
    (folder / "a.md").write_text("Boats", "utf-8")
    (folder / "board.md").write_text("Secrets", "utf-8")
    (folder / ".hidden" / "key").write_text("Secret", "utf-8")
    (tmp_path / "other.md").write_text("Other", "utf-8")
    (folder / "link.md").symlink_to(tmp_path / "other.md")
    stack = server.house.stack
    stack.ingest(folder / "a.md", folder)
    stack.ingest(folder / "board.md", readers=["board"])
    own = stack.folder / "catalog.sqlite"
    stack.ingest(stack.folder)  # nobody does; the base's own files stay its own
    strange = [
        "/etc/passwd",
        str(folder / ".hidden" / "key"),
        str(tmp_path / "other.md"),
        f"{folder}/../other.md",
        f"{folder}/link.md",
        f"{tmp_path}/docs2/a.md",
        str(own),
        "/proc/self/environ",
        "relative.md",
        f"{folder}/a.md\0",
    ]
    stack.ingest(Elsewhere(*strange))
    found = {one["source"]: one["id"] for one in web.get("/api/documents").json()["documents"]}
    assert set(strange) <= set(found)
    assert web.get(f"/api/documents/{found[str(folder / 'a.md')]}/file").text == "Boats"
    for address in strange:
        for what in ("file", "pages/1.png"):
            assert web.get(f"/api/documents/{found[address]}/{what}").status_code == 404, address
    # A document for all that goes by the name of a file that is for some.
    stack.ingest(Elsewhere(str(folder / "board.md")))
    stack.parts.catalog.remove_records("root", [r.id for r in roots(stack) if not readers_of(r)])
    (board,) = (o for o in web.get("/api/documents").json()["documents"] if "board" in o["source"])
    assert web.get(f"/api/documents/{board['id']}/file").status_code == 404
    # A file that became a link since.
    stack.ingest(folder)
    assert web.get(f"/api/documents/{found[str(folder / 'a.md')]}/file").status_code == 200
    (folder / "a.md").unlink()
    (folder / "a.md").symlink_to("/etc/passwd")
    assert web.get(f"/api/documents/{found[str(folder / 'a.md')]}/file").status_code == 404


def roots(stack: Any) -> list[Any]:
    return list(stack.parts.catalog.records("root", limit=100))


def readers_of(record: Any) -> Any:
    return record.body["readers"]
