"""A text's terms with their places and the terms of a query in, the places that match out."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ragstack.index.analysis import Token

__all__ = ["highlights"]


def highlights(tokens: Iterable[Token], wanted: Collection[str]) -> list[tuple[int, int]]:
    """Return the spans of the words that stand as one of the wanted terms, in order.

    Spans that touch are one: the parts of a name, the pairs of a script without spaces.
    """
    spans: list[tuple[int, int]] = []
    for start, end in sorted((each.start, each.end) for each in tokens if each.term in wanted):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans
