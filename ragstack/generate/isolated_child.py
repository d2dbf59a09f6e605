"""The other end of an ``IsolatedGenerator``: calls in by a pipe, deltas and results out."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

from ragstack.generate import frames
from ragstack.generate.local import LocalGenerator

__all__ = ["main"]


class _Child:
    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._cancelled: dict[int, threading.Event] = {}
        self._generator = LocalGenerator(**frames.read(incoming))

    def serve(self) -> None:
        """Answer until the other end goes away."""
        try:
            while True:
                kind, number, payload = frames.read(self._incoming)
                if kind == "cancel":
                    if event := self._cancelled.get(number):
                        event.set()
                    continue
                run = self._stream if kind == "stream" else self._call
                self._cancelled[number] = threading.Event()
                threading.Thread(target=run, args=(number, payload), daemon=True).start()
        except EOFError:
            return

    def _stream(self, number: int, payload: Mapping[str, Any]) -> None:
        cancelled = self._cancelled[number]
        try:
            generator = self._generator.served(**payload["manner"], cancel=cancelled)
            stream = generator.stream(payload["messages"], **payload["options"])
            self._send("begun", number, None)
            for delta in stream:
                self._send("delta", number, delta)
            self._send("end", number, None)
        except BaseException as error:  # it is raised where the caller waits
            self._send("error", number, frames.packed_error(error))
        finally:
            self._cancelled.pop(number, None)

    def _call(self, number: int, payload: Mapping[str, Any]) -> None:
        try:
            cancelled = self._cancelled[number]
            generator = self._generator.served(**payload["manner"], cancel=cancelled)
            found = getattr(generator, payload["name"])
            value = found(*payload["arguments"], **payload["options"]) if callable(found) else found
            self._send("end", number, value)
        except BaseException as error:  # it is raised where the caller waits
            self._send("error", number, frames.packed_error(error))
        finally:
            self._cancelled.pop(number, None)

    def _send(self, kind: str, number: int, value: object) -> None:
        frame = frames.packed((kind, number, value))
        with self._lock:
            frames.write(self._outgoing, frame)


def main() -> None:
    """Serve the process's own pipes; whatever else is printed goes to stderr."""
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _Child(sys.stdin.buffer, outgoing).serve()
    # Threads may still be inside llama.cpp, and nobody listens any more.
    os._exit(0)
