"""The catalog's journal in, an index that has applied it out. Knows no kind of index.

Applying a change twice is harmless, so a process killed between an index's work and its commit only
does that work again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragstack.protocols import Catalog, Index

__all__ = ["behind", "catch_up", "forget_applied"]


def behind(catalog: Catalog, indexes: Sequence[Index], *, collection: str) -> list[int]:
    """Return how many journal positions lie between each index and the catalog."""
    position = catalog.position(collection=collection)
    return [abs(position - index.position) for index in indexes]


def catch_up(
    catalog: Catalog,
    index: Index,
    *,
    collection: str,
    batch: int,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Bring an index up to the catalog and return how many chunks were added to it.

    An index that the journal no longer reaches back to is filled from the catalog itself.

    Args:
        batch: Changes applied between two commits.
        progress: Called with the number of chunks added by each batch.
    """
    if index.position < catalog.floor(collection=collection):
        return _fill(catalog, index, collection=collection, batch=batch, progress=progress)
    added = 0
    while changes := catalog.changes(collection=collection, after=index.position, limit=batch):
        last = {change.chunk_id: change.added for change in changes}
        # An update is a delete and an add; what came is looked up, so what has gone since is not.
        chunks = catalog.chunks([c for c, came in last.items() if came], collection=collection)
        index.delete([chunk_id for chunk_id in last if chunk_id not in chunks])
        index.add(list(chunks.values()))
        index.commit(changes[-1].position)
        added += len(chunks)
        if progress:
            progress(len(chunks))
    return added


def forget_applied(catalog: Catalog, indexes: list[Index], *, collection: str) -> None:
    """Drop the part of the journal that every index has applied."""
    if indexes:
        catalog.forget(collection=collection, upto=min(index.position for index in indexes))


def _fill(
    catalog: Catalog,
    index: Index,
    *,
    collection: str,
    batch: int,
    progress: Callable[[int], None] | None,
) -> int:
    # Everything up to here is in the catalog's chunks; later changes come by the journal.
    position = catalog.position(collection=collection)
    added = 0
    pending = []
    for info in list(catalog.documents(collection=collection)):
        pending += catalog.chunks_of(info.id, collection=collection)
        while len(pending) >= batch:
            index.add(pending[:batch])
            added += batch
            if progress:
                progress(batch)
            pending = pending[batch:]
    index.add(pending)
    index.commit(position)
    if progress:
        progress(len(pending))
    return added + len(pending)
