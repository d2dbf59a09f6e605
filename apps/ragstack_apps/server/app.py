"""A House in, the FastAPI application out: every registered router, and errors in one form."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ragstack import registry
from ragstack.errors import InputError, MissingExtra, RagstackError
from ragstack_apps.server.door import Door
from ragstack_apps.server.errors import HttpError, failure_of
from ragstack_apps.server.house import House

__all__ = ["create_app"]

_logger = logging.getLogger(__name__)

_THREADS = 256


def create_app(house: House) -> FastAPI:
    """Return the application over a house.

    Each name of the registry's kind ``routes`` is a function from a House to an APIRouter. One that
    wants an extra which is not installed is left out.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        yield

    # Pages that explain the interface would fetch their scripts from elsewhere.
    app = FastAPI(
        title="ragstack",
        summary="Answers from your own documents, every quote checked.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.house = house
    app.add_exception_handler(RagstackError, _answer)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    for name in registry.names("routes"):
        try:
            made = registry.load("routes", name)(house)
        except MissingExtra as missing:
            _logger.info("the routes %r are left out: %s", name, missing)
            continue
        app.include_router(made)
    app.add_middleware(Door, house=house)
    house.guard.stand_round(app)
    return app


async def _answer(_request: Request, error: Exception) -> JSONResponse:
    failure = failure_of(error)
    return JSONResponse(dict(failure.body), failure.status, dict(failure.headers))


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    told = {
        404: f"nothing is at {path!r}; /openapi.json lists what there is",
        405: f"{path} does not take {request.method}",
    }.get(error.status_code, str(error.detail))
    answer = await _answer(request, HttpError(error.status_code, told))
    answer.headers.update(error.headers or {})
    return answer


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    told = []
    for one in error.errors()[:3]:
        where = ".".join(str(part) for part in one["loc"] if part != "body")
        told.append(f"{where or 'the body'}: {one['msg']}")
    return await _answer(request, InputError("; ".join(told)))
