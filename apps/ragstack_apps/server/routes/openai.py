"""OpenAI's chat completions and models, as its clients expect them."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request

from ragstack_apps.server.caller import Asks, Reads
from ragstack_apps.server.errors import Failure
from ragstack_apps.server.house import House
from ragstack_apps.server.replies import Reply
from ragstack_apps.server.schemas import chat_request
from ragstack_apps.server.streams import EventStream, openai_event

__all__ = ["openai_failed", "openai_frames", "router"]

_EXAMPLE = {
    "model": "ragstack/default",
    "messages": [{"role": "user", "content": "Who pays for repairs to the roof?"}],
    "stream": False,
}


def router(house: House) -> APIRouter:
    """Return ``/v1/chat/completions`` and ``/v1/models``."""
    routes = APIRouter(prefix="/v1", tags=["openai"])

    @routes.post("/chat/completions", response_model=None, summary="Answer a conversation")
    def chat_completions(
        request: Request,
        caller: Asks,
        body: Annotated[dict[str, Any], Body(examples=[_EXAMPLE])],
    ) -> Any:
        wanted = chat_request(body)
        events = house.service.events(wanted, request.state.call, caller)
        reply = Reply(wanted.model, wanted.choices, wanted.alternatives, house.service.pieces)
        if not wanted.stream:
            return reply.whole(events)
        chunks = reply.chunks(events, include_usage=wanted.include_usage)
        return EventStream(
            openai_frames(chunks),
            failed=openai_failed,
            end=b"data: [DONE]\n\n",
            ping_s=house.settings.ping_s,
        )

    @routes.get("/models", summary="The model, and one for each collection")
    def models(caller: Reads) -> dict[str, Any]:
        about = {"object": "model", "created": house.service.started, "owned_by": "ragstack"}
        return {
            "object": "list",
            "data": [{"id": name, **about} for name in house.service.models(caller)],
        }

    return routes


def openai_frames(
    objects: Generator[Mapping[str, Any], None, None],
) -> Generator[bytes, None, None]:
    """Yield objects as OpenAI's streams send them; closing it closes their source."""
    try:
        for each in objects:
            yield openai_event(each)
    finally:
        objects.close()


def openai_failed(failure: Failure) -> bytes:
    """Return what ends a stream that failed."""
    return f"data: {json.dumps(failure.body)}\n\n".encode()
