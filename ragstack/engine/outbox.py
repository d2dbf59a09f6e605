"""What callers wait for, handed out when a step is over.

A caller that is handed a token wakes up and wants the interpreter; while tokens are still drawn for
others it would get in their way.
"""

from __future__ import annotations

import queue
from typing import Any

__all__ = ["Outbox"]


class Outbox:
    """Items for queues, in their order. For the engine's thread."""

    def __init__(self) -> None:
        self._items: list[tuple[queue.SimpleQueue[Any], Any]] = []

    def post(self, to: queue.SimpleQueue[Any], item: object) -> None:
        """Keep an item until ``flush``."""
        self._items.append((to, item))

    def flush(self) -> None:
        """Hand out what was kept."""
        items, self._items = self._items, []
        for to, item in items:
            to.put(item)
