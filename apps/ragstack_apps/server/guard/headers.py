"""Every response with headers that keep a browser from doing harm with it; foreign pages refused.

There are no cookies that carry rights, so a foreign page can do nothing in a user's name. But where
nobody has to say who they are, as on loopback, any page of the web could: so those are turned away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragstack_apps.server.errors import HttpError, failure_of

__all__ = ["Headed", "Origins"]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    # An uploaded page that is shown again must not run in the server's name.
    "content-security-policy": (
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
    ),
    "cache-control": "no-store",
}
_ONLY_TLS = {"strict-transport-security": "max-age=31536000"}


class Headed:
    """Adds the headers that a response has not already.

    Args:
        shared: Pages of other addresses may read the answers: the configuration names them.
    """

    def __init__(self, app: ASGIApp, *, shared: bool = False) -> None:
        self._app = app
        self._headers = dict(_ALWAYS)
        if shared:
            self._headers["cross-origin-resource-policy"] = "cross-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = self._headers | (_ONLY_TLS if scope.get("scheme") == "https" else {})

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, headed)


class Origins:
    """Refuses what the page of another address sends, unless the configuration names the address.

    Args:
        allowed: Such as ``https://intranet.example``.
    """

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "http" and self._is_foreign(scope):
            failure = failure_of(
                HttpError(403, "this server takes nothing from pages of another address")
            )
            body = json.dumps(failure.body).encode()
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            headers.append((b"content-length", str(len(body)).encode()))
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send)

    def _is_foreign(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in _SAFE
        if origin in self._allowed:
            return False
        try:
            own = urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        except ValueError:
            own = False
        return not own and scope["method"] not in _SAFE
