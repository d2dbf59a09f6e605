"""Gold spans and the spans that were retrieved in, token-wise recall, precision and IoU out.

The measures of B. Smith and A. Troynikov, "Evaluating Chunking Strategies for Retrieval" (Chroma
technical report, July 2024), written from its definitions. Tokens are counted by a function of a
span, so any tokenizer will do. Knows no index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ragstack.types import Span

__all__ = ["Scores", "Tokens", "score", "score_perfect", "within_budget"]

Item = TypeVar("Item")
Tokens = Callable[[Span], int]
"""Counts the tokens of a span of one document."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How well spans cover the gold ones, in tokens.

    Attributes:
        recall: Share of the gold tokens that were retrieved.
        precision: Share of the retrieved tokens that are gold; one retrieved twice counts twice
            below the line and once above it, so overlap costs.
        iou: Gold tokens retrieved over gold or retrieved ones, counted in the same way.
    """

    recall: float
    precision: float
    iou: float


def score(
    gold: Sequence[Span], retrieved: Sequence[Span], tokens: Tokens, other: int = 0
) -> Scores:
    """Return the scores of one question.

    Args:
        gold: What answers it, in one document; at least one token.
        retrieved: What was retrieved of that document, overlaps and all.
        other: Tokens retrieved of other documents.
    """
    wanted = _joined(gold)
    t_e = _sum(wanted, tokens)
    t_r = _sum(retrieved, tokens) + other
    both = _sum(_common(wanted, _joined(retrieved)), tokens)
    return Scores(
        recall=both / t_e if t_e else 0.0,
        precision=both / t_r if t_r else 0.0,
        iou=both / (t_e + t_r - both) if t_e + t_r > both else 0.0,
    )


def score_perfect(gold: Sequence[Span], chunks: Sequence[Span], tokens: Tokens) -> float:
    """Return the precision of a retrieval that finds every chunk with gold in it and no other.

    It is the most that a way of chunking allows: the report's precision-omega.
    """
    wanted = _joined(gold)
    held = [
        chunk
        for chunk in chunks
        if any(chunk[0] < end and start < chunk[1] for start, end in wanted)
    ]
    return score(gold, held, tokens).precision


def within_budget(sized: Iterable[tuple[Item, int]], budget: int) -> list[Item]:
    """Return the first items that fit a budget of tokens together; the first is always one."""
    kept: list[Item] = []
    for item, size in sized:
        budget -= size
        if budget < 0 and kept:
            break
        kept.append(item)
    return kept


def _sum(spans: Iterable[Span], tokens: Tokens) -> int:
    return sum(tokens(span) for span in spans)


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _common(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """Return where two lists of spans overlap; each is sorted and apart."""
    common: list[Span] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            common.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return common
