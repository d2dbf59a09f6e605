"""Requests that wait for a place, in the order in which they get one. Knows nothing of models.

Interactive ones come before those of the background. Among equals each client has its turn: a
client's next request is stamped behind its last one, by the work it asks for (start-time fair
queueing; Goyal, Vin, Cheng 1996), so who sends a hundred does not hold up who sends one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, Literal, TypeVar

__all__ = ["Priority", "Waiting"]

Priority = Literal["interactive", "background"]
Item = TypeVar("Item")

_RANKS = {"interactive": 0, "background": 1}


@dataclass(frozen=True, slots=True, order=True)
class _Stamp:
    rank: int
    start: float
    number: int


class Waiting(Generic[Item]):
    """A queue for one thread."""

    def __init__(self) -> None:
        self._items: dict[_Stamp, tuple[Item, str]] = {}
        self._numbers = count()
        self._ends: dict[str, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        """Yield those that wait, next one first."""
        return (self._items[stamp][0] for stamp in sorted(self._items))

    def put(self, item: Item, *, priority: Priority, client: str, work: float) -> None:
        """Let a request wait.

        Args:
            client: Who asks; those without a name share one turn.
            work: How much it asks for, in any unit that all share.
        """
        start = max(self._now, self._ends.get(client, 0.0))
        self._ends[client] = start + work
        self._items[_Stamp(_RANKS[priority], start, next(self._numbers))] = (item, client)

    def take(self, fits: Callable[[Item], bool | None]) -> Item | None:
        """Return the next request and take it out; None when there is none that may go.

        Args:
            fits: True: it may go. False: it has to wait, and so do those behind it. None: it waits
                for something of its own, the others need not.
        """
        for stamp in sorted(self._items):
            item, _ = self._items[stamp]
            answer = fits(item)
            if answer:
                del self._items[stamp]
                self._now = max(self._now, stamp.start)
                self._forget_clients()
                return item
            if answer is False:
                return None
        return None

    def remove(self, unwanted: Callable[[Item], bool]) -> list[Item]:
        """Take out and return the requests that nobody waits for any more."""
        stamps = [stamp for stamp, (item, _) in self._items.items() if unwanted(item)]
        return [self._items.pop(stamp)[0] for stamp in stamps]

    def _forget_clients(self) -> None:
        # A client whose turns are all past starts as a new one does.
        self._ends = {name: end for name, end in self._ends.items() if end > self._now}
