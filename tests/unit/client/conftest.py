"""A real server on loopback over a real base, and clients of it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from ragstack import Client, Stack
from ragstack.errors import NotFound, RagstackError
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.wire import facet_json, step_json
from ragstack.testing.stacks import say, score
from ragstack.types import wire
from ragstack_apps.server.errors import failure_of
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

Serving = Callable[..., AbstractContextManager[Server]]


@contextmanager
def serving(folder: Path, *, generator: Any = None, **place: Any) -> Iterator[Server]:
    made = generator or ScriptedGenerator(say, scores=score)
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}, generator=made) as stack:
        house = House.of(stack, Place(port=0, **place))
        server = Server(house)
        missing(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.stop(5)
            thread.join()
            house.close()


@contextmanager
def connected(folder: Path) -> Iterator[Client]:
    with serving(folder) as server, Client(server.url) as client:
        yield client


@pytest.fixture(name="serving", scope="session")
def _serving() -> Serving:
    return serving


@pytest.fixture(name="connected", scope="session")
def _connected() -> Callable[[Path], AbstractContextManager[Client]]:
    return connected


def missing(server: Server) -> None:  # noqa: C901
    """Add routes that the server does not have yet, over the same codec."""
    stack = server.house.stack
    routes = APIRouter(prefix="/api")
    jobs: dict[str, Any] = {}

    def answered(value: Any) -> Response:
        return Response(json.dumps(value), media_type="application/json")

    @routes.get("/documents")
    def documents(collection: str, offset: int, limit: int) -> Response:
        rows = [wire.info_json(info) for info in stack.documents(collection=collection)]
        return answered({"documents": rows[offset : offset + limit], "total": len(rows)})

    @routes.get("/documents/{name}")
    def document(name: str, collection: str) -> Response:
        found = stack.document(name, collection=collection)
        if found is None:
            raise NotFound(f"no document {name!r}")
        return answered(wire.document_json(found))

    @routes.delete("/documents/{name}")
    def delete(name: str, collection: str) -> Response:
        return answered({"removed": stack.delete(name, collection=collection)})

    @routes.get("/facets/{field}")
    def facets(field: str, collection: str, where: str | None = None) -> Response:
        condition = json.loads(where) if where else None
        found = stack.facets(field, collection=collection, where=condition)
        return answered({"facets": [facet_json(facet) for facet in found]})

    @routes.get("/stats")
    def stats(collection: str) -> Response:
        return answered(stack.stats(collection=collection))

    @routes.get("/chats")
    def chats() -> Response:
        return answered({"chats": [{"id": one, "title": one} for one in stack.chats()]})

    @routes.get("/chats/{name}")
    def chat(name: str) -> Response:
        turns = stack.chat(name).turns()
        if not turns:
            raise NotFound(f"no chat {name!r}")
        return answered({"id": name, "turns": [wire.turn_json(turn) for turn in turns]})

    @routes.delete("/chats/{name}")
    def forget(name: str) -> Response:
        if not stack.chat(name).delete():
            raise NotFound(f"no chat {name!r}")
        return answered({})

    @routes.post("/ingest")
    async def ingest(request: Request) -> Response:
        paths = []
        async with request.form() as form:
            said = {name: form[name] for name in ("collection", "meta", "readers")}
            for file in form.getlist("files"):
                path = stack.folder.parent / f"uploads-{said['collection']}" / file.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(await file.read())
                paths.append(path)
        job = str(len(jobs))
        jobs[job] = (paths, said)
        return answered({"job": job})

    @routes.get("/ingest/{job}/events")
    def events(job: str) -> StreamingResponse:
        paths, form = jobs[job]
        told: queue.Queue[Any] = queue.Queue()

        def work() -> None:
            try:
                report = stack.ingest(
                    *paths,
                    collection=form["collection"],
                    meta=json.loads(form["meta"]),
                    readers=json.loads(form["readers"]),
                    progress=lambda step: told.put(("step", step_json(step))),
                )
                told.put(("done", {"report": wire.report_json(report)}))
            except RagstackError as error:
                told.put(("error", failure_of(error).body))
            told.put(None)

        def frames() -> Iterator[str]:
            threading.Thread(target=work).start()
            while (item := told.get()) is not None:
                yield f"event: {item[0]}\ndata: {json.dumps(item[1])}\n\n"

        return StreamingResponse(frames(), media_type="text/event-stream")

    server.app.include_router(routes)
