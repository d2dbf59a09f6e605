"""Requests at work, counted, so that a stop can wait for them and cut off what takes too long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ragstack_apps.server.errors import HttpError

__all__ = ["Call", "Calls"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        client: The address it came from.
        gone: Set when nobody waits for the answer any more, or nobody shall.
    """

    client: str
    gone: threading.Event = field(default_factory=threading.Event)


class Calls:
    """The requests of one server. Safe to use from many threads.

    Attributes:
        draining: Whether new ones are turned away.
    """

    def __init__(self) -> None:
        self.draining = False
        self._gone: set[threading.Event] = set()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Return how many are at work."""
        return len(self._gone)

    @contextmanager
    def at_work(self, call: Call) -> Iterator[None]:
        """Count a request.

        Raises:
            HttpError: The server is shutting down.
        """
        with self._changed:
            if self.draining:
                raise HttpError(503, "the server is shutting down")
            self._gone.add(call.gone)
        try:
            yield
        finally:
            with self._changed:
                self._gone.discard(call.gone)
                self._changed.notify_all()

    def drain(self) -> None:
        """Turn new ones away."""
        with self._changed:
            self.draining = True

    def wait(self, seconds: float) -> bool:
        """Return whether all came to their end within a time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._gone, seconds)

    def cut(self) -> None:
        """Tell those at work that nobody waits any more."""
        with self._changed:
            for gone in self._gone:
                gone.set()
