"""Documents: listed, whole, in chunks, as they came, page by page; removed, taken in again."""

from __future__ import annotations

import mimetypes
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response

from ragstack.errors import InputError
from ragstack_apps.server import documents
from ragstack_apps.server.caller import Reads, Writes
from ragstack_apps.server.house import House

__all__ = ["router"]

Collection = Annotated[str, Query(max_length=200)]


def router(house: House) -> APIRouter:
    """Return ``/api/documents``."""
    routes = APIRouter(prefix="/api/documents", tags=["documents"])

    @routes.get("", summary="Documents, by their address")
    def listed(
        caller: Reads,
        collection: Collection = "default",
        q: Annotated[str, Query(max_length=1000, description="Words of its name.")] = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> dict[str, Any]:
        rows = documents.listed(house, caller, collection, q)
        some = [documents.info_shown(info) for info in rows[offset : offset + limit]]
        return {"documents": some, "total": len(rows)}

    @routes.get("/{document_id}", summary="A document with its text")
    def one(document_id: str, caller: Reads, collection: Collection = "default") -> dict[str, Any]:
        found = documents.found(house, caller, collection, document_id)
        return documents.document_shown(found)

    @routes.get("/{document_id}/chunks", summary="The chunks it is cut into")
    def chunks(
        document_id: str, caller: Reads, collection: Collection = "default"
    ) -> dict[str, Any]:
        found = documents.found(house, caller, collection, document_id)
        return {"chunks": documents.chunks_shown(house, collection, found)}

    @routes.get("/{document_id}/file", response_class=FileResponse, summary="It, as it came")
    def file(document_id: str, caller: Reads, collection: Collection = "default") -> Response:
        found = documents.found(house, caller, collection, document_id)
        path = documents.original(house, collection, found)
        name = found.source.rsplit("/", 1)[-1].removeprefix("upload:")
        # A page that somebody sent in must not run in the name of this server.
        return FileResponse(
            path,
            media_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
            filename=name,
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )

    @routes.get("/{document_id}/pages/{number}.png", response_class=Response, summary="A page")
    def page(
        document_id: str,
        number: int,
        caller: Reads,
        collection: Collection = "default",
        start: Annotated[int, Query(ge=0, description="Of the span to highlight.")] = 0,
        end: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        found = documents.found(house, caller, collection, document_id)
        path = documents.original(house, collection, found)
        with path.open("rb") as file:
            if b"%PDF" not in file.read(1024):
                raise InputError(f"{found.source!r} is no PDF: it has no pages to draw")
        picture = house.pictures.page(path, number, found.text[start:end])
        return Response(picture, media_type="image/png", headers={"Cache-Control": "private"})

    @routes.delete("/{document_id}", summary="Remove a document")
    def delete(
        document_id: str, caller: Writes, collection: Collection = "default"
    ) -> dict[str, Any]:
        found = documents.found(house, caller, collection, document_id)
        removed = house.stack.delete(found.id, collection=collection)
        house.jobs.uploads.forget(collection, [found.id])
        return {"removed": removed}

    @routes.post("/{document_id}/reingest", status_code=202, summary="Read a document anew")
    def reingest(
        document_id: str, caller: Writes, collection: Collection = "default"
    ) -> dict[str, Any]:
        found = documents.found(house, caller, collection, document_id)
        what = documents.again(house, caller, collection, found)
        return {"job": house.jobs.start(what, caller).id}

    return routes
