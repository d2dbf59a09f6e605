"""Collections of a base in, the same under other names, copied or deleted out.

A collection comes into being with its first document; there is nothing to create before.
"""

from __future__ import annotations

from dataclasses import dataclass

from ragstack.errors import InputError, NotFound
from ragstack.pipeline.catchup import no_space_reported
from ragstack.pipeline.generations import check_collection, folder_of, shadow, under_way
from ragstack.pipeline.stack import Stack

__all__ = ["CollectionInfo", "collections", "copy", "delete", "rename"]


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection and how much it holds."""

    name: str
    documents: int
    chunks: int


def collections(stack: Stack) -> list[CollectionInfo]:
    """Return the collections that hold a document, by name."""
    catalog = stack.parts.catalog
    return [
        CollectionInfo(name, *catalog.counts(collection=name)) for name in catalog.collections()
    ]


def delete(stack: Stack, name: str) -> int:
    """Delete a collection with everything in it; return how many documents that were.

    Raises:
        NotFound: There is none of that name.
        BaseLocked: Another process is writing to this base.
    """
    with stack.writing():
        _require(stack, name)
        _refuse_while_building(stack)
        # In this order: a collection without indexes is filled again, indexes without one are not
        # known to be anybody's.
        for slot in stack.config.index:
            stack.parts.discard(name, slot)
        removed = stack.parts.catalog.drop(name)
        stack.parts.sweep()
        return removed


def rename(stack: Stack, name: str, to: str) -> None:
    """Give a collection another name; its indexes go with it.

    Raises:
        NotFound: There is none of that name.
        InputError: The new name is taken, or cannot be one.
    """
    check_collection(to)
    with stack.writing():
        _require(stack, name)
        _refuse_while_building(stack)
        _refuse_taken(stack, to)
        parts = stack.parts
        parts.sweep()
        parts.release(name)
        parts.release(to)
        place = parts.folder / "collections"
        old = place / folder_of(name, parts.generation)
        new = place / folder_of(to, parts.generation)
        parts.catalog.rename({name: to})
        # Killed here, the indexes are swept up and the collection is indexed again.
        if old.is_dir() and not new.exists():
            old.rename(new)


def copy(stack: Stack, name: str, to: str) -> int:
    """Copy a collection, documents and chunks as they are; return how many documents that were.

    The copy appears when it is complete. Its indexes are built from it, vectors from the cache.

    Raises:
        NotFound: There is none of that name.
        InputError: The new name is taken, or cannot be one.
        DiskFull: There is no room for a second one.
    """
    check_collection(to)
    with stack.writing(), no_space_reported("the copy"):
        _require(stack, name)
        _refuse_while_building(stack)
        _refuse_taken(stack, to)
        catalog, hidden = stack.parts.catalog, shadow(to)
        catalog.drop(hidden)
        for info in list(catalog.documents(collection=name)):
            document = catalog.document(info.id, collection=name)
            if document is not None:
                found = catalog.chunks_of(info.id, collection=name)
                catalog.put(document, found, collection=hidden, origin=info.origin)
        catalog.rename({hidden: to})
        stack.parts.sweep()
        stack.catch_up(to)
        return catalog.counts(collection=to)[0]


def _require(stack: Stack, name: str) -> None:
    known = stack.parts.catalog.collections()
    if name not in known:
        raise NotFound(
            f"there is no collection {name!r}; known: {', '.join(known) or 'none'}",
            hint="`ragstack collections list` shows them",
        )


def _refuse_taken(stack: Stack, name: str) -> None:
    if name in stack.parts.catalog.collections():
        raise InputError(f"there is a collection {name!r} already", hint="delete it first")


def _refuse_while_building(stack: Stack) -> None:
    if under_way(stack.parts.catalog) is not None:
        raise InputError(
            "a new generation of this base is being built",
            hint="finish it first: `ragstack reindex`; or give it up: `ragstack reindex --abandon`",
        )
