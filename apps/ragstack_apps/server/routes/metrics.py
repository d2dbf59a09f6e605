"""Numbers for Prometheus: without a key on this machine alone."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ragstack.types.hosts import is_loopback
from ragstack_apps.server.caller import Shown, token_of
from ragstack_apps.server.errors import HttpError
from ragstack_apps.server.guard.metrics import CONTENT_TYPE
from ragstack_apps.server.house import House

__all__ = ["router"]

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def router(house: House) -> APIRouter:
    """Return ``/metrics``."""
    routes = APIRouter(tags=["health"])
    house.open_paths.add("/metrics")

    @routes.get("/metrics", response_class=Response, summary="Numbers for Prometheus")
    def metrics(request: Request) -> Response:
        address = request.client.host if request.client else ""
        # What a proxy on this machine sends on comes from somewhere else.
        beyond = not is_loopback(address) or any(name in request.headers for name in _FORWARDED)
        if beyond:
            shown = Shown(token_of(request), address, "GET", "/metrics")
            if not house.accounts.caller(shown).may("read"):
                raise HttpError(403, "this takes the right 'read'", code="forbidden")
        return Response(house.guard.metrics.text(), headers={"content-type": CONTENT_TYPE})

    return routes
