"""Places to cut, by strength, in; spans of at most so many tokens out. Knows no documents."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.chunking.tokens import TokenTable
from ragstack.types import Span

__all__ = ["Limits", "pack"]

# A chunk is at least this part of the size before a stronger cut is preferred to a fuller chunk.
_LEAST_FILL = 2
# Text without any other place to cut goes in pieces of this part of the size, so that they can
# still be joined to what stands before them and overlap.
_WORD_PIECES = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How long chunks are.

    Attributes:
        size: Tokens of a chunk, at most.
        overlap: Tokens of a chunk that the one before it has too, at most.
    """

    size: int
    overlap: int = 0


def pack(
    span: Span, levels: Sequence[Sequence[int]], table: TokenTable, limits: Limits
) -> list[Span]:
    """Return spans that cover a span, each cut at the strongest place that leaves it well filled.

    Only what is too long for one chunk is opened at the next level, so a paragraph that fits stays
    whole. What no level divides is cut between words.

    Args:
        levels: Characters where the text may be cut, rising; the strongest level first.
    """
    if table.tokens(span) <= limits.size:
        return [span]
    units = _Units(levels, table, limits.size, [span[0]], [0])
    units.open(span, 0)
    return _fill(units.cuts, units.strengths, table, limits)


@dataclass(frozen=True, slots=True)
class _Units:
    """What is never divided further: where each unit ends, and how strong the cut there is.

    Attributes:
        strengths: The level of each cut; 0 is the strongest.
    """

    levels: Sequence[Sequence[int]]
    table: TokenTable
    size: int
    cuts: list[int]
    strengths: list[int]

    def open(self, span: Span, level: int) -> None:
        inner: Sequence[int] = ()
        while level < len(self.levels) and not inner:
            places = self.levels[level]
            inner = places[bisect_right(places, span[0]) : bisect_left(places, span[1])]
            level += 1
        if not inner:
            for _, end in self.table.cut(span, size=max(1, self.size // _WORD_PIECES)):
                self._close(end, level)
            return
        edges = [span[0], *inner, span[1]]
        weights = self.table.tokens_before(edges).tolist()
        for index in range(1, len(edges)):
            if weights[index] - weights[index - 1] > self.size:
                self.open((edges[index - 1], edges[index]), level)
                self.strengths[-1] = level
            else:
                self._close(edges[index], level)

    def _close(self, end: int, level: int) -> None:
        self.cuts.append(end)
        self.strengths.append(level)


def _fill(cuts: list[int], strengths: list[int], table: TokenTable, limits: Limits) -> list[Span]:
    tokens = table.tokens_before(cuts).tolist()
    spans: list[Span] = []
    start, last = 0, len(cuts) - 1
    while start < last:
        full = max(bisect_right(tokens, tokens[start] + limits.size) - 1, start + 1)
        end = full
        if full < last:
            least = tokens[start] + limits.size // _LEAST_FILL
            for index in range(full - 1, start, -1):
                if tokens[index] < least:
                    break
                if strengths[index] < strengths[end]:
                    end = index
        else:
            end = last
        spans.append((cuts[start], cuts[end]))
        if end == last:
            break
        back = bisect_left(tokens, tokens[end] - limits.overlap, start + 1, end)
        # The overlap gives way to what comes next, or nothing new would fit.
        while back < end and tokens[end + 1] - tokens[back] > limits.size:
            back += 1
        start = back
    return spans
