"""A base's indexes in, the same brought up to its catalog out; and what it holds, counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ragstack.errors import IndexStateError
from ragstack.pipeline.catchup import behind, catch_up, forget_applied
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.parts import Parts

__all__ = ["apply_journal", "is_behind", "statistics"]


def apply_journal(parts: Parts, collection: str, step: Callable[[Step], None]) -> None:
    """Bring every index of a collection up to the catalog; for who may write.

    Raises:
        DiskFull: There is no room for it.
    """
    indexes = parts.indexes(collection)
    for slot, index in indexes.items():
        catch_up(
            parts.catalog,
            index,
            collection=collection,
            batch=parts.config.ingest.batch,
            progress=partial(_indexed, step, slot),
        )
    forget_applied(parts.catalog, list(indexes.values()), collection=collection)


def is_behind(parts: Parts, collection: str) -> bool:
    """Return whether an index of the collection has something to apply, or is not whole."""
    try:
        indexes = list(parts.indexes(collection).values())
        return any(behind(parts.catalog, indexes, collection=collection))
    except IndexStateError:
        return True


def statistics(parts: Parts, collection: str) -> dict[str, Any]:
    """Return counts, sizes and what the base was made with."""
    catalog, config = parts.catalog, parts.config
    documents, chunks = catalog.counts(collection=collection)
    indexes = parts.indexes(collection)
    late = behind(catalog, list(indexes.values()), collection=collection)
    return {
        "base": str(parts.folder.resolve()),
        "collection": collection,
        "collections": catalog.collections(),
        "documents": documents,
        "chunks": chunks,
        "indexes": {
            slot: {"use": config.index[slot].use, "chunks": len(index), "behind": missing}
            for (slot, index), missing in zip(indexes.items(), late, strict=True)
        },
        "embedder": catalog.setting("embedder"),
        "generation": parts.generation,
        "generator": config.generate.options.get("model", config.generate.use),
        "bytes": sum(path.stat().st_size for path in parts.folder.rglob("*") if path.is_file()),
    }


def _indexed(step: Callable[[Step], None], slot: str, chunks: int) -> None:
    step(Step("indexed", slot, chunks=chunks))
