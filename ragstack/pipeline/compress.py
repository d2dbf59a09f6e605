"""Blocks and a question in, blocks of fewer sentences out; what is left keeps its place.

A sentence counts by how much of the question it and its neighbours speak of. What is kept stands in
runs, each a block of its own, so that a citation still points where it points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ragstack.chunking.sentences import split
from ragstack.pipeline.pack import Block
from ragstack.pipeline.words import content_words
from ragstack.types import Span

__all__ = ["compressed"]

_NEAR = 0.5  # what a neighbour's words count beside a sentence's own
_FEW = 3  # a block of so many sentences or fewer stays whole


def compressed(
    blocks: Sequence[Block],
    question: str,
    *,
    keep: float,
    language: str,
    count: Callable[[str], int],
) -> list[Block]:
    """Return blocks that hold about a share of the sentences, those nearest to the question.

    A block of which no sentence says anything of the question stays whole: the search knew better
    why it was found.

    Args:
        keep: Share of each block's tokens that may stay, above 0; 1 keeps all.
        language: ``en`` or ``fr``, for where a sentence ends.
        count: The generator's own count of a text's tokens.
    """
    if keep >= 1:
        return list(blocks)
    asked = frozenset(word.form for word in content_words(question))
    found: list[Block] = []
    for block in blocks:
        spans = split(block.text, language)
        worth = _worth(asked, [block.text[start:end] for start, end in spans])
        if len(spans) <= _FEW or max(worth) == 0:
            found.append(block)
            continue
        kept = _kept(spans, worth, keep)
        found += [_cut(block, run, count) for run in _runs(spans, kept)]
    return found


def _worth(asked: frozenset[str], sentences: Sequence[str]) -> list[float]:
    own = [float(len(asked & {word.form for word in content_words(text)})) for text in sentences]
    padded = [0.0, *own, 0.0]
    return [
        here + _NEAR * max(before, after)
        for before, here, after in zip(padded, own, padded[2:], strict=False)
    ]


def _kept(spans: Sequence[Span], worth: Sequence[float], keep: float) -> list[int]:
    """Return the places of the sentences that stay: the best ones, while there is room."""
    room = keep * sum(end - start for start, end in spans)
    kept: list[int] = []
    for place in sorted(range(len(spans)), key=lambda place: (-worth[place], place)):
        start, end = spans[place]
        if kept and end - start > room:
            break
        room -= end - start
        kept.append(place)
    return sorted(kept)


def _runs(spans: Sequence[Span], kept: Sequence[int]) -> list[Span]:
    """Return stretches of neighbouring sentences."""
    runs: list[Span] = []
    for before, place in zip([-2, *kept], kept, strict=False):
        start, end = spans[place]
        runs[-1:] = [(runs[-1][0], end)] if place == before + 1 else [*runs[-1:], (start, end)]
    return runs


def _cut(block: Block, run: Span, count: Callable[[str], int]) -> Block:
    text = block.text[run[0] : run[1]]
    start = block.start + run[0] + len(text) - len(text.lstrip())
    text = text.strip()
    shown = f"{block.context}\n{text}" if block.context else text
    end = start + len(text)
    # What a run does not touch cannot be cited from it; a run always touches something.
    passages = tuple(p for p in block.passages if p.chunk.start < end and start < p.chunk.end)
    return replace(block, start=start, end=end, text=text, passages=passages, tokens=count(shown))
