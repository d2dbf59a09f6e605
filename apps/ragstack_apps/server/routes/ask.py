"""Questions answered from documents: as events while they come, or as one answer."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

from fastapi import APIRouter, Request

from ragstack_apps.server.bodies import AskBody
from ragstack_apps.server.caller import Asks
from ragstack_apps.server.calls import Call
from ragstack_apps.server.errors import Failure
from ragstack_apps.server.house import House
from ragstack_apps.server.runs import Run
from ragstack_apps.server.streams import EventStream, named_event

__all__ = ["event_failed", "router"]


def router(house: House) -> APIRouter:
    """Return ``/api/ask``."""
    routes = APIRouter(prefix="/api", tags=["ask"])

    @routes.post("/ask", response_model=None, summary="Answer a question from documents")
    def ask(body: AskBody, caller: Asks, request: Request) -> Any:
        call: Call = request.state.call
        run = house.runs.start(body, caller, call)
        if body.stream:
            frames = _frames(run, call)
            return EventStream(frames, failed=event_failed, ping_s=house.settings.ping_s)
        for _ in _frames(run, call):
            pass
        if run.error is not None:
            raise run.error
        return run.answer

    return routes


def _frames(run: Run, call: Call) -> Generator[bytes, None, None]:
    try:
        for told in run.follow(call.gone):
            yield named_event(told)
    finally:
        if not run.body.keep:
            run.cancel.set()


def event_failed(failure: Failure) -> bytes:
    """Return what ends a stream that failed."""
    return f"event: error\ndata: {json.dumps(failure.body)}\n\n".encode()
