"""Method and path in, a function out; each takes a Call and returns what to send.

Another route is another line of ``ROUTES``. Knows no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from ragstack_apps.server.errors import HttpError
from ragstack_apps.server.replies import Reply
from ragstack_apps.server.schemas import chat_request, parsed
from ragstack_apps.server.service import Call, Service

__all__ = ["OPEN", "ROUTES", "Answered", "Asked", "Route", "route"]

Answered = Mapping[str, Any] | Generator[Mapping[str, Any], None, None]
"""An object to send whole, or objects to send as server-sent events while they come."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request without its connection."""

    call: Call
    body: bytes


Route = Callable[[Service, Asked], Answered]


def chat_completions(service: Service, asked: Asked) -> Answered:
    """Answer ``POST /v1/chat/completions``."""
    request = chat_request(parsed(asked.body))
    events = service.events(request, asked.call)
    reply = Reply(request.model, request.choices, request.alternatives, service.pieces)
    if request.stream:
        return reply.chunks(events, include_usage=request.include_usage)
    return reply.whole(events)


def models(service: Service, _: Asked) -> Answered:
    """Answer ``GET /v1/models``."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": service.started, "owned_by": "ragstack"}
            for name in service.models()
        ],
    }


def health(service: Service, _: Asked) -> Answered:
    """Answer ``GET /health``."""
    return {"status": "ok", "model": service.model}


ROUTES: Mapping[str, Mapping[str, Route]] = {
    "/health": {"GET": health},
    "/v1/models": {"GET": models},
    "/v1/chat/completions": {"POST": chat_completions},
}
OPEN = frozenset({"/health"})
"""Paths that need no key."""


def route(method: str, path: str) -> Route:
    """Return what answers a method on a path.

    Raises:
        HttpError: 404, or 405 where another method would do.
    """
    found = ROUTES.get(path)
    if found is None:
        raise HttpError(404, f"nothing is at {path!r}; known: {', '.join(ROUTES)}")
    if method not in found:
        raise HttpError(405, f"{path} takes {', '.join(found)}, not {method}")
    return found[method]
