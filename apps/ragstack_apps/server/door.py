"""Requests in, those that may pass on to the application: host, identity, body, and clients gone.

ASGI middleware, the first that a request meets. Knows no route; what is refused here is refused
before a byte of a body is kept.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
from fastapi.concurrency import run_in_threadpool
from fastapi.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragstack.types.hosts import is_loopback
from ragstack_apps.server.caller import Shown
from ragstack_apps.server.calls import Call
from ragstack_apps.server.errors import Failure, HttpError, failure_of
from ragstack_apps.server.house import House
from ragstack_apps.server.schemas import parsed

__all__ = ["Door", "send_failure"]

_logger = logging.getLogger(__name__)

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_JSON = "application/json"
_FILES = "multipart/form-data"
_SMALL = 1 << 16  # bytes of JSON that are parsed at once, without another thread
_DISCARDED_S = 2.0


class Door:
    """Lets requests in to an application."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        call = Call(client[0] if client else "")
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            with self._house.calls.at_work(call):
                await self._let_in(scope, receive, sending, call)
        except Exception as error:
            failure = failure_of(error)
            if not began:
                await _discard(scope, receive)
                await send_failure(failure, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        headers = Headers(scope=scope)
        scope.setdefault("state", {})["call"] = call
        await self._identify(scope, headers, call)
        arrival = _Arrival(receive, call)
        if _has_body(scope["method"], headers):
            await self._take_body(headers, arrival)
        else:
            await arrival.pass_over()
        failed: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(arrival.watch)
            try:
                await self._app(scope, arrival.receive, send)
            except Exception as error:  # raised below, or it would come out as a group
                failed = error
            group.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _identify(self, scope: Scope, headers: Headers, call: Call) -> None:
        accounts, path = self._house.accounts, scope["path"]
        if not accounts.closed:
            # A page of the web must not reach it through a name that it made point here.
            host = _host_of(headers.get("host", ""))
            if not is_loopback(host):
                raise HttpError(403, f"without an API key no request for {host!r} is answered")
        if path in self._house.open_paths:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        shown = Shown(
            token.strip() if scheme.lower() == "bearer" else "", call.client, scope["method"], path
        )
        scope["state"]["caller"] = await run_in_threadpool(accounts.caller, shown)

    async def _take_body(self, headers: Headers, arrival: _Arrival) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (_JSON, _FILES):
            raise HttpError(415, f"the body's Content-Type is not {_JSON}")
        length = headers.get("content-length")
        if length is None:
            raise HttpError(411, "the body's Content-Length is missing")
        settings = self._house.settings
        most = settings.max_body if kind == _JSON else settings.max_upload
        if len(length) > len(str(most)) or int(length) > most:
            raise HttpError(413, f"the body has {length} bytes, expected {most} at most")
        if kind == _JSON:
            body = await arrival.whole()
            # Refused here once and for all: depth, infinite numbers, halves of characters.
            if len(body) <= _SMALL:
                parsed(body)
            else:
                await run_in_threadpool(parsed, body)


class _Arrival:
    """What comes from a client: its body for the application, then only its going away."""

    def __init__(self, receive: Receive, call: Call) -> None:
        self._receive = receive
        self._call = call
        self._kept: Message | None = None
        self._complete = anyio.Event()
        self._left = anyio.Event()

    async def whole(self) -> bytes:
        """Return the whole body, which the application gets again."""
        pieces = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client left before the end of its body")
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        self._keep(b"".join(pieces))
        return b"".join(pieces)

    async def pass_over(self) -> None:
        """Expect no body."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client left")
        self._keep(b"")

    def _keep(self, body: bytes) -> None:
        self._kept = {"type": "http.request", "body": body, "more_body": False}
        self._complete.set()

    async def receive(self) -> Message:
        """Return what an application receives."""
        if self._kept is not None:
            message, self._kept = self._kept, None
            return message
        if self._complete.is_set():
            await self._left.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._call.gone.set()
            self._left.set()
            self._complete.set()
        elif not message.get("more_body", False):
            self._complete.set()
        return message

    async def watch(self) -> None:
        """Set ``gone`` when the client goes away behind its body."""
        await self._complete.wait()
        while not self._left.is_set():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._call.gone.set()
                self._left.set()


async def send_failure(failure: Failure, send: Send) -> None:
    """Send what a client is told about an error."""
    body = json.dumps(failure.body).encode()
    headers = {"content-type": _JSON, "content-length": str(len(body)), **failure.headers}
    with suppress(OSError):
        await send(
            {
                "type": "http.response.start",
                "status": failure.status,
                "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": body})


async def _discard(scope: Scope, receive: Receive) -> None:
    """Read a while what nobody wants: to close on it would lose the answer on its way."""
    headers = Headers(scope=scope)
    if "expect" in headers or not _has_body(scope["method"], headers):
        return
    with anyio.move_on_after(_DISCARDED_S):
        message: dict[str, Any] = {"more_body": True}
        while message.get("more_body", False):
            message = dict(await receive())


def _has_body(method: str, headers: Headers) -> bool:
    if "transfer-encoding" in headers:
        return True
    there = headers.get("content-length", "0") != "0"
    return there or (method in _WITH_BODY and "content-type" in headers)


def _host_of(header: str) -> str:
    """Return the host that a Host header names, without its port; empty where it names none."""
    with suppress(ValueError):
        return urlsplit(f"//{header}").hostname or ""
    return ""
