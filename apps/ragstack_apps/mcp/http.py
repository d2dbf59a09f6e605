"""A House in, answers of the MCP server over streamable HTTP out. Knows no path and no key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Response
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from ragstack_apps.accounts.caller import Caller
from ragstack_apps.mcp.server import mcp_server
from ragstack_apps.mcp.tools import Rights
from ragstack_apps.server.caller import caller_of
from ragstack_apps.server.house import House
from ragstack_apps.server.serving import Serving

__all__ = ["over_http"]


def over_http(house: House) -> Callable[[], Response]:
    """Return what makes the answer to one request."""

    @contextmanager
    def serving(caller: Rights, gone: threading.Event) -> Iterator[None]:
        limited_as = caller.limited_as if isinstance(caller, Caller) else ""
        manner = Serving(" ".join(caller.asker), house.service.deadline_s, gone)
        with house.guard.answering.one(limited_as), house.service.generator.serving(manner):
            yield

    server = mcp_server(house.stack, _caller, serving)
    return lambda: _Served(server)


class _Served(Response):
    """An answer that the SDK writes. Nothing is kept between requests, for no other key to find."""

    def __init__(self, server: Server[Any]) -> None:
        super().__init__()
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Host, identity and size of it were checked at the door."""
        manager = StreamableHTTPSessionManager(self._server, stateless=True)
        async with manager.run():
            await manager.handle_request(scope, receive, send)


def _caller(context: Any) -> Rights:
    return caller_of(context.request)
