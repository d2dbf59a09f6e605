"""Pieces of text in, pieces out up to the first stop string, and no part of that."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["StopScanner", "overlap"]


class StopScanner:
    """Watches a stream for stop strings, across the borders of its pieces.

    Attributes:
        stopped: A stop string has come; nothing comes out any more.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Return what may be shown; what could begin a stop string is held back."""
        if self.stopped:
            return ""
        self._held += text
        places = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if places:
            self.stopped = True
            shown, self._held = self._held[: min(places)[0]], ""
            return shown
        keep = max((overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def flush(self) -> str:
        """Return what was held back: the stream has ended, so it begins no stop string."""
        shown, self._held = self._held, ""
        return shown


def overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of a text that begins a stop string, short of all."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-size:]):
            return size
    return 0
