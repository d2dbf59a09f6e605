"""A prompt in; someone looks while a sequence holds it and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragstack.engine.context import Row
from ragstack.engine.costs import Room
from ragstack.engine.jobs import Feed, Reading

__all__ = ["Visiting"]


class Visiting(Reading):
    """Reads a prompt, and lets someone look while its sequence holds that and nothing else.

    Attributes:
        complete: Whether it was looked at.
    """

    def __init__(self, prompt: Sequence[int], visit: Callable[[], None]) -> None:
        """Begin with nothing read.

        Args:
            visit: Called once, on the engine's thread.
        """
        self.prompt = prompt
        self.most = 0
        self.complete = False
        self._visit = visit

    def advance(self, rows: Sequence[Row], room: Room) -> Feed | None:
        """Let the visitor look."""
        del rows, room
        self._visit()
        self.complete = True
        return None
