"""Whether the server is there, and whether it is ready to answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ragstack_apps.server.errors import HttpError
from ragstack_apps.server.house import House

__all__ = ["router"]


def router(house: House) -> APIRouter:
    """Return ``/health`` and ``/ready``; neither needs a key."""
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="The server is there")
    def health() -> dict[str, Any]:
        return {"status": "ok", "model": house.service.model}

    @routes.get("/ready", summary="The server takes requests, and its base can be read")
    def ready() -> dict[str, Any]:
        if house.calls.draining:
            raise HttpError(503, "the server is shutting down")
        collections = house.stack.parts.catalog.collections()
        return {"status": "ready", "model": house.service.model, "collections": len(collections)}

    return routes
