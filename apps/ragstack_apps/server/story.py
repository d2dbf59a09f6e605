"""What happens in the course of some work in, the same out to whoever follows, from any point."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ragstack_apps.server.errors import HttpError
from ragstack_apps.server.streams import Told

__all__ = ["GIVEN_UP", "Story"]

GIVEN_UP = "the answer was given up before its end"
_LOOK_S = 0.5  # a follower looks as often whether its client is there
_AT_WORK = frozenset({"queued", "running"})


@dataclass
class Story:
    """Events, numbered from 1, and how it stands. Safe to use from many threads.

    Attributes:
        state: ``queued``, ``running``, ``done``, ``cancelled`` or ``failed``.
        cancel: Set when it shall end early.
    """

    state: str = "running"
    events: list[Told] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def at_work(self) -> bool:
        """Whether more may come."""
        return self.state in _AT_WORK

    def say(self, name: str, data: Mapping[str, Any], *, state: str = "") -> None:
        """Add an event for all who follow."""
        with self.changed:
            self.events.append(Told(len(self.events) + 1, name, data))
            self.state = state or self.state
            self.changed.notify_all()

    def follow(self, gone: threading.Event, after: int = 0) -> Generator[Told, None, None]:
        """Yield the events behind a number, and those that come, to the last.

        Raises:
            HttpError: The follower is told to go.
        """
        at = max(after, 0)
        while True:
            with self.changed:
                while len(self.events) <= at and self.at_work:
                    if gone.is_set():
                        raise HttpError(503, GIVEN_UP)
                    self.changed.wait(_LOOK_S)
                fresh, over = self.events[at:], not self.at_work
            yield from fresh
            at += len(fresh)
            if over:
                return
