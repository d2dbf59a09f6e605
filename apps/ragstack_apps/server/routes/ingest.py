"""Documents taken in: files sent along, or paths and connectors of the server's machine."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException

from ragstack.errors import InputError
from ragstack.pipeline.generations import check_collection
from ragstack.pipeline.ingest import checked_meta
from ragstack.protocols import Closeable
from ragstack_apps.server.bodies import IngestBody
from ragstack_apps.server.caller import Caller, Reads, Writes, allowed_collection
from ragstack_apps.server.connecting import connector_of
from ragstack_apps.server.errors import HttpError
from ragstack_apps.server.house import House
from ragstack_apps.server.jobs import Ingesting
from ragstack_apps.server.routes.runs import followed
from ragstack_apps.server.streams import EventStream
from ragstack_apps.server.uploads import Upload, address_of

__all__ = ["router"]

_FILES = 1000
_SCHEMA = {
    "required": True,
    "content": {
        "application/json": {"schema": IngestBody.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "collection": {"type": "string", "default": "default"},
                    "meta": {"type": "string", "description": "JSON, an object of scalars."},
                    "readers": {"type": "string", "description": "JSON, a list of names."},
                },
            }
        },
    },
}


def router(house: House) -> APIRouter:
    """Return ``/api/ingest``."""
    routes = APIRouter(prefix="/api", tags=["ingest"])

    @routes.post(
        "/ingest",
        status_code=202,
        summary="Take documents in",
        openapi_extra={"requestBody": _SCHEMA},
    )
    async def ingest(caller: Writes, request: Request) -> dict[str, Any]:
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            try:
                async with request.form(max_files=_FILES) as form:
                    what = await run_in_threadpool(_uploaded, house, form, caller)
            except MultiPartException as error:
                raise InputError(f"the body is not a form: {error.message}") from error
        else:
            data = await request.json()
            what = await run_in_threadpool(_named, house, data, caller)
        return {"job": house.jobs.start(what, caller).id}

    @routes.get("/ingest", summary="Ingests, the latest first")
    def jobs(caller: Reads) -> dict[str, Any]:
        return {"jobs": [job.shown() for job in house.jobs.list(caller)]}

    @routes.get("/ingest/{job}", summary="How an ingest stands")
    def job(job: str, caller: Reads) -> dict[str, Any]:
        return house.jobs.get(job, caller).shown()

    @routes.get("/ingest/{job}/events", response_model=None, summary="Follow an ingest")
    def events(job: str, caller: Reads, request: Request, after: int = 0) -> EventStream:
        found = house.jobs.get(job, caller)
        return followed(found, request, house.settings.ping_s, after)

    @routes.post("/ingest/{job}/cancel", summary="Stop an ingest between two documents")
    def cancel(job: str, caller: Writes) -> dict[str, Any]:
        found = house.jobs.get(job, caller)
        house.jobs.cancel(found)
        return {"state": found.state}

    return routes


def _uploaded(house: House, form: FormData, caller: Caller) -> Ingesting:
    """Return what is to be taken in of what was sent, which is kept by then."""
    files = form.getlist("files")
    some = [one for one in files if isinstance(one, UploadFile)]
    if not some or len(some) != len(files):
        raise InputError("files is missing, expected one file at least")
    collection = form.get("collection") or "default"
    meta, readers = _json(form.get("meta"), {}, "meta"), _json(form.get("readers"), [], "readers")
    if not isinstance(meta, dict) or not isinstance(collection, str):
        raise InputError("meta is a JSON object, collection a name")
    if not isinstance(readers, list) or not all(isinstance(one, str) for one in readers):
        raise InputError(f"readers is {readers!r}, expected a JSON list of names")
    allowed_collection(caller, collection)
    check_collection(collection)
    names = [one.filename or "" for one in some]
    for name in names:
        address_of(name)
    uploads = []
    for name, one in zip(names, some, strict=True):
        sha256, size = house.jobs.uploads.take(one.file)
        uploads.append(Upload(name, sha256, size, one.content_type or ""))
    return Ingesting(collection, tuple(uploads), meta=checked_meta(meta), readers=tuple(readers))


def _json(value: Any, default: Any, name: str) -> Any:
    if value in (None, ""):
        return default
    try:
        return json.loads(str(value))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON: {error}") from error


def _named(house: House, data: Any, caller: Caller) -> Ingesting:
    """Return what is to be taken in from the server's own machine: an administrator's affair."""
    if not caller.may("admin"):
        raise HttpError(403, "paths and connectors take the right 'admin'", code="forbidden")
    try:
        body = IngestBody.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise InputError(f"{where}: {first['msg']}") from error
    if any("\0" in path for path in body.paths):
        raise InputError("a path holds a null character")
    if body.connector is not None:
        # Made for its errors to be told now; the one that reads is made when its turn has come.
        made = connector_of(body.connector.model_dump())
        if isinstance(made, Closeable):
            made.close()
    elif not body.paths:
        raise InputError("there is nothing to take in: name paths, or a connector")
    allowed_collection(caller, body.collection)
    check_collection(body.collection)
    return Ingesting(
        body.collection,
        paths=tuple(body.paths),
        connector=None if body.connector is None else body.connector.model_dump(),
        meta=checked_meta(body.meta),
        readers=tuple(body.readers),
    )
