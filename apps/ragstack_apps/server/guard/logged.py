"""Requests that change or read something in, a line of the audit log for each. Never contents."""

from __future__ import annotations

from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Receive, Scope, Send

from ragstack_apps.accounts.audit import Audit, Deed
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.server.guard.responses import Seen, method_of, route_of

__all__ = ["Logged"]

_OF_ACCOUNTS = frozenset({"/api/login", "/api/logout"})  # they log these themselves
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = frozenset({401, 403})
_TELLING = ("/api/documents/", "/api/chats/", "/api/users", "/api/keys", "/api/audit")
"""Reads that are logged: of things that are somebody's. Others are asked for every second."""


class Logged:
    """Notes who asked for what, and how it went."""

    def __init__(self, app: ASGIApp, *, audit: Audit) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["path"] in _OF_ACCOUNTS:
            await self._app(scope, receive, send)
            return
        seen = Seen(send)
        try:
            await self._app(scope, receive, seen)
        finally:
            if _is_telling(scope, seen.status):
                # Also of a request whose client has left, which cancels what it waits for.
                with CancelScope(shield=True):
                    await run_sync(self._audit.note, _deed_of(scope, seen.status))


def _is_telling(scope: Scope, status: int) -> bool:
    """Return whether the log has a line for a request; what limits turn away has none."""
    if status in _REFUSED:
        return True
    if status == 429:
        return False
    return scope["method"] not in _READS or route_of(scope).startswith(_TELLING)


def _deed_of(scope: Scope, status: int) -> Deed:
    caller = scope.get("state", {}).get("caller")
    client = scope.get("client")
    known = isinstance(caller, Caller)
    parameters = scope.get("path_params") or {}
    return Deed(
        f"{method_of(scope)} {route_of(scope)}",
        caller.user if known else "",
        str(status) if status else "left",
        ",".join(str(value) for value in parameters.values()),
        caller.key_id if known else "",
        str(client[0]) if client else "",
    )
