"""A question in, passages out: indexes searched and fused, chunks looked up once, reranked."""

from __future__ import annotations

from collections.abc import Sequence

from ragstack.filters import Filter, Readable, Where, both, parse

__all__ = ["Retriever", "visible"]


def visible(where: Where | None, asker: Sequence[str]) -> Filter | None:
    """Return the condition of a search: the caller's own, and what the asker may read."""
    return both(parse(where), Readable(frozenset(asker)))
