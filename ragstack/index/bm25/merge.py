"""Several segments in, one out, without what was deleted; and the choice of which to merge.

A segment is merged with those after it once they are a quarter of its size, so that sizes fall
towards the end and there are few; one that holds 32 million terms is left alone, so the work of a
commit has a bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragstack.index.bm25.segment import Living, Postings, Segment, assembled

__all__ = ["first_to_merge", "merged"]

_RATIO = 4
_LARGEST = 1 << 25  # terms


def first_to_merge(sizes: Sequence[int], least: int) -> int:
    """Return where the segments begin that should become one, from there to the end.

    Args:
        sizes: Terms of each segment, in the order of their rows.
        least: Where the segments begin that must be written in any case.
    """
    first, total = min(least, len(sizes)), sum(sizes[least:])
    for place in range(first - 1, -1, -1):
        if sizes[place] >= _RATIO * total or sizes[place] + total > _LARGEST:
            break
        first, total = place, total + sizes[place]
    return first


def merged(parts: Sequence[Living], *, base: int, close_up: bool) -> Segment:
    """Return one segment of what lives in some that follow each other.

    Args:
        base: Its first row.
        close_up: Leave no room for deleted rows: those after them get smaller numbers.
    """
    places = _places(parts, base, close_up)
    size = _size(parts, base, close_up)
    names, numbers = _united(parts)
    having = np.zeros(len(names), dtype=np.int64)
    kept = [_kept(part) for part in parts]
    for part, new in zip(parts, numbers, strict=True):
        there = new >= 0
        having[new[there]] += _having(part)[there]
    starts = np.cumsum(having) - having
    rows = np.empty(int(having.sum()), dtype=np.uint32)
    counts = np.empty(len(rows), dtype=np.uint32)
    lengths = np.zeros(size, dtype=np.int64)
    text_sizes = np.zeros(size, dtype=np.int64)
    texts = []
    for part, new, place, keep in zip(parts, numbers, places, kept, strict=True):
        segment, there = part.segment, new >= 0
        having_here = _having(part)[there]
        first = np.cumsum(having_here) - having_here
        target = np.repeat(starts[new[there]] - first, having_here)
        target += np.arange(len(target))
        starts[new[there]] += having_here
        rows[target] = place[segment.rows[keep]]
        counts[target] = segment.counts[keep]
        lengths[place[part.alive]] = segment.lengths[part.alive]
        sizes = np.diff(segment.text_starts)
        text_sizes[place[part.alive]] = sizes[part.alive]
        mine = segment.texts if part.whole else segment.texts[np.repeat(part.alive, sizes)]
        texts.append(new.astype(np.uint32)[mine])  # half the memory of a large merge
    made = Postings(names, having, rows, counts, lengths, text_sizes, np.concatenate(texts))
    return assembled(made, base)


def _places(parts: Sequence[Living], base: int, close_up: bool) -> list[NDArray[np.int64]]:
    """Return for each row of each part where it goes, from ``base``."""
    found, before = [], 0
    for part in parts:
        if close_up:
            found.append(before + np.cumsum(part.alive) - 1)
            before += int(np.count_nonzero(part.alive))
        else:
            found.append(np.arange(part.segment.size) + part.segment.base - base)
    return found


def _size(parts: Sequence[Living], base: int, close_up: bool) -> int:
    if close_up:
        return sum(int(np.count_nonzero(part.alive)) for part in parts)
    last = parts[-1].segment
    return last.base + last.size - base


def _united(parts: Sequence[Living]) -> tuple[list[bytes], list[NDArray[np.int64]]]:
    """Return the terms that live anywhere, and for each part the new numbers of its terms."""
    terms = [part.segment.terms() for part in parts]
    lived = [_having(part) > 0 for part in parts]
    names: list[bytes] = []
    for mine, here in zip(terms, lived, strict=True):
        names += mine if here.all() else [mine[place] for place in np.flatnonzero(here)]
    names = list(dict.fromkeys(sorted(names)))
    number = {name: place for place, name in enumerate(names)}
    return names, [
        np.fromiter((number.get(name, -1) for name in mine), dtype=np.int64, count=len(mine))
        for mine in terms
    ]


def _having(part: Living) -> NDArray[np.int64]:
    there = np.diff(part.segment.starts)
    return there if part.gone is None else there - part.gone


def _kept(part: Living) -> slice | NDArray[np.bool_]:
    """Return which postings belong to rows alive."""
    return slice(None) if part.whole else part.alive[part.segment.rows]
