"""Metadata of documents in, how many hold each value out: what there is to filter by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.filters import Where, matches
from ragstack.pipeline.retrieve import visible
from ragstack.protocols import Catalog
from ragstack.types import Scalar

__all__ = ["Facet", "facets", "fields_of"]


@dataclass(frozen=True, slots=True)
class Facet:
    """A value of a field, and how many documents hold it."""

    value: Scalar
    documents: int


def facets(
    catalog: Catalog,
    field: str,
    *,
    collection: str,
    where: Where | None = None,
    asker: Sequence[str] = (),
) -> list[Facet]:
    """Return the values of a field with the documents that hold each, the commonest first.

    Documents that lack the field are not counted; ``1``, ``1.0`` and ``True`` are not one value.

    Args:
        where: Only documents whose own metadata match.
        asker: The user who asks and their groups; documents with readers count for those alone.
    """
    condition = visible(where, asker)
    found: Counter[tuple[str, Scalar]] = Counter()
    for info in catalog.documents(collection=collection):
        value = info.meta.get(field)
        if value is not None and matches(condition, info.meta, info.readers):
            found[type(value).__name__, value] += 1
    rows = [Facet(value, count) for (_, value), count in found.items()]
    return sorted(rows, key=lambda row: (-row.documents, str(row.value)))


def fields_of(catalog: Catalog, *, collection: str, asker: Sequence[str] = ()) -> list[Facet]:
    """Return the fields that documents have, with how many have each, the commonest first."""
    condition = visible(None, asker)
    found: Counter[str] = Counter()
    for info in catalog.documents(collection=collection):
        if matches(condition, info.meta, info.readers):
            found.update(name for name, value in info.meta.items() if value is not None)
    rows = [Facet(name, count) for name, count in found.items()]
    return sorted(rows, key=lambda row: (-row.documents, str(row.value)))
