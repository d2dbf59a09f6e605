"""JSON in, chunks that never cut a value out, with the path to them as context.

The largest members that fit stay whole; only text longer than a whole chunk is cut inside, since an
embedder would read no more than its beginning.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from ragstack.chunking import layout
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.json_places import JsonPlaces, json_places
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import pack
from ragstack.chunking.tokens import tabulate
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document

__all__ = ["JsonChunker"]


class JsonChunker:
    """Cuts JSON and JSON lines between members, the outermost first."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 200,
        overlap: int = 0,
        context: str = "headings",
    ) -> None:
        """Choose how long chunks are.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a chunk, at most; its context is not counted.
            overlap: Tokens of whole members that a chunk repeats of the one before, at most.
            context: ``headings`` is the path; ``title``, ``both`` or ``none``.

        Raises:
            ConfigError: One of them cannot be used.
        """
        self._counter = counter
        self._limits = checked_limits(size, overlap)
        self._context = checked_context(context)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start."""
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        places = json_places(text)
        levels = [*places.levels, layout.sentence_starts(document)]
        spans = pack((0, len(text)), levels, table, self._limits)
        wanted = self._context in ("headings", "both")
        above = _Above(places) if wanted else _Above(JsonPlaces([], [], []))
        # The loader marks outermost keys as headings; the path says the same, and more.
        titled = self._context in ("title", "both")
        context = checked_context("title" if titled else "none")
        return assemble(document, spans, context=context, note=above.path)


@dataclass(frozen=True, slots=True)
class _Above:
    places: JsonPlaces

    def path(self, start: int, _end: int) -> str:
        """Return the path to the first member that begins in a chunk, or around it."""
        if not self.places.members or not start:
            return ""
        index = min(bisect_left(self.places.members, start), len(self.places.members) - 1)
        if self.places.members[index] != start:
            index = max(index - 1, 0)
        return self.places.path(index)
