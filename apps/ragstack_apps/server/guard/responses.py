"""ASGI messages in, what guards need to know of a response out. Knows no application."""

from __future__ import annotations

from starlette.types import Message, Scope, Send

__all__ = ["Seen", "method_of", "route_of"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Seen:
    """A ``send`` that remembers what went through it.

    Attributes:
        status: 0 until the response begins; so it stays where a client left before.
        body: Whether some of the body went out.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.body = False

    async def __call__(self, message: Message) -> None:
        """Send."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
        elif message["type"] == "http.response.body":
            self.body = self.body or bool(message.get("body"))
        await self._send(message)


def route_of(scope: Scope) -> str:
    """Return the pattern of the path that was taken, without what a client wrote into it.

    So logs and metrics have as many names as there are routes, whatever is asked for.
    """
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if path:
        return str(scope.get("root_path", "")) + str(path)
    return str(scope.get("root_path") or "unknown")


def method_of(scope: Scope) -> str:
    """Return the method, or ``other`` for one that nobody knows."""
    return str(scope["method"]) if scope["method"] in _METHODS else "other"
