"""A generator of events in, a stream of server-sent events out, read in one thread of its own.

What fails before its first event is a plain answer with a status; later it is an event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import ObjectSendStream
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from ragstack_apps.server.calls import Call
from ragstack_apps.server.errors import Failure, failure_of

__all__ = ["EventStream", "Told", "named_event", "openai_event"]

_SILENCE_S = 60.0  # a client may leave what it is sent unread for as long
_AHEAD = 64  # events that wait for a client
_STREAMS = 512
_PING = b": ping\n\n"


@dataclass(frozen=True, slots=True)
class Told:
    """An event with its number and its name."""

    number: int
    name: str
    data: Mapping[str, Any]


def named_event(told: Told) -> bytes:
    """Return an event as it is sent."""
    data = json.dumps(told.data)
    return f"id: {told.number}\nevent: {told.name}\ndata: {data}\n\n".encode()


def openai_event(data: Mapping[str, Any]) -> bytes:
    """Return an object as OpenAI's streams send it."""
    return f"data: {json.dumps(data)}\n\n".encode()


class EventStream(Response):
    """Sends frames while they come.

    Args:
        frames: Read to its end, or closed, in one thread.
        failed: Makes the last frame of what went wrong.
        end: Sent behind the last frame where nothing went wrong.
        ping_s: Seconds of silence after which a comment is sent.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: Generator[bytes, None, None],
        *,
        failed: Callable[[Failure], bytes],
        end: bytes = b"",
        ping_s: float = 10.0,
    ) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._frames = frames
        self._failed = failed
        self._end = end
        self._ping_s = ping_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it."""
        sender, receiver = anyio.create_memory_object_stream[bytes | Exception](_AHEAD)
        call: Call = scope["state"]["call"]
        refused: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._read, sender)
            async with receiver:
                try:
                    first = await receiver.receive()
                    if isinstance(first, Exception):
                        refused = first
                    else:
                        await self._send_all(first, receiver, send)
                except (OSError, anyio.EndOfStream):  # TimeoutError too: it does not read
                    pass
                finally:
                    call.gone.set()
        if refused is not None:
            raise refused  # a plain answer is made of it

    async def _send_all(self, first: bytes, receiver: Any, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": list(self.raw_headers)}
        )
        frame: bytes | Exception = first
        while True:
            if isinstance(frame, Exception):
                await _sent(send, self._failed(failure_of(frame)))
                break
            await _sent(send, frame)
            try:
                frame = await self._next(receiver, send)
            except anyio.EndOfStream:
                break
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, receiver: Any, send: Send) -> Any:
        while True:
            with anyio.move_on_after(self._ping_s):
                return await receiver.receive()
            await _sent(send, _PING)

    async def _read(self, sender: ObjectSendStream[bytes | Exception]) -> None:
        limiter = _limiter()
        async with sender:
            await anyio.to_thread.run_sync(self._drive, sender, limiter=limiter)

    def _drive(self, sender: ObjectSendStream[bytes | Exception]) -> None:
        try:
            try:
                for frame in self._frames:
                    anyio.from_thread.run(sender.send, frame)
                if self._end:
                    anyio.from_thread.run(sender.send, self._end)
            finally:
                self._frames.close()
        except anyio.BrokenResourceError:
            pass  # nobody reads any more
        except Exception as error:
            try:
                anyio.from_thread.run(sender.send, error)
            except anyio.BrokenResourceError:
                return


async def _sent(send: Send, frame: bytes) -> None:
    with anyio.fail_after(_SILENCE_S):
        await send({"type": "http.response.body", "body": frame, "more_body": True})


_limiters: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("ragstack_streams")


def _limiter() -> anyio.CapacityLimiter:
    """Return the limit of threads for streams, apart from those of short requests."""
    try:
        return _limiters.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_STREAMS)
        _limiters.set(limiter)
        return limiter
