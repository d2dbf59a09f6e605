"""OpenAI's files and batches."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Form, Query, UploadFile
from fastapi import File as FilePart
from fastapi.responses import Response

from ragstack.errors import InputError
from ragstack_apps.server.batches import CHAT
from ragstack_apps.server.caller import Asks
from ragstack_apps.server.house import House

__all__ = ["router"]

_MOST = 200 << 20
_EXAMPLE = {"input_file_id": "file-…", "endpoint": CHAT, "completion_window": "24h"}


def router(house: House) -> APIRouter:
    """Return ``/v1/files`` and ``/v1/batches``."""
    routes = APIRouter(prefix="/v1", tags=["batches"])
    batches = house.batches

    @routes.post("/files", summary="Keep a file of requests")
    def upload(
        caller: Asks,
        file: Annotated[UploadFile, FilePart()],
        purpose: Annotated[str, Form(max_length=100)] = "batch",
    ) -> dict[str, Any]:
        data = file.file.read(_MOST + 1)
        if len(data) > _MOST or purpose != "batch":
            raise InputError(f"expected purpose 'batch' and {_MOST} bytes at most")
        return batches.keep_file(data, (file.filename or "batch.jsonl")[:200], purpose, caller)

    @routes.get("/files", summary="Your files")
    def files(caller: Asks) -> dict[str, Any]:
        return {"object": "list", "data": batches.files(caller), "has_more": False}

    @routes.get("/files/{file_id}", summary="A file")
    def file(file_id: str, caller: Asks) -> dict[str, Any]:
        return batches.file(file_id, caller)

    @routes.get("/files/{file_id}/content", response_class=Response, summary="What it holds")
    def content(file_id: str, caller: Asks) -> Response:
        headers = {"X-Content-Type-Options": "nosniff"}
        data = batches.content(file_id, caller)
        return Response(data, media_type="application/jsonl", headers=headers)

    @routes.delete("/files/{file_id}", summary="Forget a file")
    def forget(file_id: str, caller: Asks) -> dict[str, Any]:
        batches.forget_file(file_id, caller)
        return {"id": file_id, "object": "file", "deleted": True}

    @routes.post("/batches", summary="Answer a file of requests, behind everything else")
    def start(
        caller: Asks, body: Annotated[dict[str, Any], Body(examples=[_EXAMPLE])]
    ) -> dict[str, Any]:
        return batches.start(body, caller)

    @routes.get("/batches", summary="Your batches, the latest first")
    def listed(caller: Asks, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> dict[str, Any]:
        return {"object": "list", "data": batches.list(caller, limit), "has_more": False}

    @routes.get("/batches/{batch_id}", summary="How a batch stands")
    def one(batch_id: str, caller: Asks) -> dict[str, Any]:
        return batches.get(batch_id, caller)

    @routes.post("/batches/{batch_id}/cancel", summary="Stop a batch")
    def cancel(batch_id: str, caller: Asks) -> dict[str, Any]:
        return batches.cancel(batch_id, caller)

    return routes
