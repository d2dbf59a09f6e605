"""``/mcp``: the MCP server over streamable HTTP, behind the door of ragstack's own server.

The SDK is a quarter of what the server would import, so it is loaded when somebody asks for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from ragstack import registry
from ragstack.errors import MissingExtra
from ragstack_apps.server.house import House

__all__ = ["router"]


def router(house: House) -> APIRouter:
    """Return ``/mcp``: the rights of the key that a request shows hold in every call.

    Raises:
        MissingExtra: The SDK is not installed.
    """
    if importlib.util.find_spec("mcp") is None:
        raise MissingExtra("mcp", extra="mcp")
    routes = APIRouter(tags=["mcp"])

    @cache
    def answers() -> Callable[[], Response]:
        made: Callable[[], Response] = registry.load("mcp", "http")(house)
        return made

    @routes.api_route(
        "/mcp", methods=["GET", "POST", "DELETE"], response_model=None, include_in_schema=False
    )
    async def mcp(_request: Request) -> Response:
        # In a thread: loading takes the better part of a second, once.
        return (await anyio.to_thread.run_sync(answers))()

    return routes
