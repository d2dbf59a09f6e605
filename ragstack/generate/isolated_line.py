"""One request's end of the pipe to a generator's process: messages in, deltas or an error out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from ragstack.generate import frames
from ragstack.types import Delta

__all__ = ["Line"]

_LOOK_S = 0.1  # between two looks at whether a caller gave its request up


class Line:
    """One request's end of the pipe."""

    def __init__(self, stop: Callable[[], None], cancel: threading.Event | None) -> None:
        """Begin with nothing heard.

        Args:
            stop: Tells the process that the request is not wanted any more.
            cancel: Set, from any thread, when it is not.
        """
        self.answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._stop = stop
        self._cancel = cancel

    def take(self) -> tuple[str, Any]:
        """Return the next message; an error is raised."""
        kind, value = self._next()
        if kind == "error":
            raise value if isinstance(value, BaseException) else frames.unpacked_error(value)
        return kind, value

    def _next(self) -> tuple[str, Any]:
        while self._cancel is not None:
            if self._cancel.is_set():
                self._stop()
                self._cancel = None  # told once; the answer to it is on its way
                break
            with suppress(queue.Empty):
                return self.answers.get(timeout=_LOOK_S)
        return self.answers.get()

    def deltas(self) -> Iterator[Delta]:
        """Yield deltas to the end; closing this ends the work."""
        ended = False
        try:
            while True:
                kind, value = self.take()
                if kind == "end":
                    ended = True
                    return
                yield value
        finally:
            if not ended:
                self._stop()
