"""The catalog's journal in, an index that has applied it out. Knows no kind of index.

Applying a change twice is harmless, so a process killed between an index's work and its commit only
does that work again. What a batch adds is whole documents, in one call, so that whoever searches
meanwhile finds all of a document or nothing of it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ragstack.errors import BaseError, DiskFull
from ragstack.protocols import Catalog, Index
from ragstack.types import Change

__all__ = ["behind", "catch_up", "document_of", "forget_applied", "no_space_reported"]

_CHUNK_ID = re.compile(r"(.*)\.[^.:]+:\d+-\d+:", re.DOTALL)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# How libraries that are not written in Python say it.
_SAYS_FULL = re.compile(
    r"os error (28|27|122)\b|code: (28|27|122)\b|No space left|StorageFull|disk is full"
)


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
    """Bring an index up to the catalog as it is now; return how many chunks were added to it.

    What is put in meanwhile may wait for the next time, so that no writer keeps this from ending.

    An index that the journal no longer reaches back to is filled from the catalog itself; it must
    be empty then, for what it holds may have gone in the part that was forgotten.

    Args:
        batch: Changes applied between two commits; a document's stay together.
        progress: Called with the number of chunks added by each batch.

    Raises:
        DiskFull: There is no room for the index; what it has committed stands.
    """
    with no_space_reported("the index"):
        if index.position < catalog.floor(collection=collection):
            return _fill(catalog, index, collection=collection, batch=batch, progress=progress)
        added, end = 0, catalog.position(collection=collection)
        while index.position < end and (
            changes := _batch(catalog, collection, index.position, batch)
        ):
            last = {change.chunk_id: change.added for change in changes}
            # An update is a delete and an add; what came is looked up: what has gone since is not.
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


def document_of(chunk_id: str) -> str:
    """Return the id of the document that a chunk is of."""
    found = _CHUNK_ID.match(chunk_id)
    return found.group(1) if found else chunk_id


@contextmanager
def no_space_reported(what: str) -> Iterator[None]:
    """Turn what the system and libraries say of a full disk into one error.

    Raises:
        DiskFull: The block failed for want of space.
    """
    try:
        yield
    except DiskFull:
        raise
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(f"no space is left for {what}: {error.strerror}") from error
    except (BaseError, ValueError, RuntimeError) as error:
        if not _SAYS_FULL.search(str(error)):
            raise
        raise DiskFull(f"no space is left for {what}: {error}") from error


def _batch(catalog: Catalog, collection: str, after: int, limit: int) -> list[Change]:
    """Return the next changes, no document's cut in two."""
    changes = catalog.changes(collection=collection, after=after, limit=limit)
    while len(changes) >= limit:
        document = document_of(changes[-1].chunk_id)
        more = catalog.changes(collection=collection, after=changes[-1].position, limit=limit)
        same = next(
            (n for n, change in enumerate(more) if document_of(change.chunk_id) != document),
            len(more),
        )
        changes += more[:same]
        if same < len(more) or not more:
            break
    return changes


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
        if len(pending) >= batch:
            index.add(pending)
            added += len(pending)
            if progress:
                progress(len(pending))
            pending = []
    index.add(pending)
    index.commit(position)
    if progress:
        progress(len(pending))
    return added + len(pending)
