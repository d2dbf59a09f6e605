"""A base in, the same base in fewer bytes out: holes closed, indexes merged, caches pruned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragstack import registry
from ragstack.pipeline.catchup import no_space_reported
from ragstack.pipeline.gate import FILE_NAME
from ragstack.pipeline.generations import under_way
from ragstack.pipeline.stack import Stack
from ragstack.protocols import Catalog, Compactable

__all__ = ["CompactReport", "compact"]

_TEXTS = 1_000  # looked up in the cache at once


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What it brought.

    Attributes:
        before: Bytes of the base's folder.
        after: The same, afterwards.
        vectors: Vectors forgotten in the cache: of texts that no chunk holds any more, or of
            another embedder.
    """

    before: int
    after: int
    vectors: int


def compact(stack: Stack) -> CompactReport:
    """Give back the room that deleted and replaced things took. Searching goes on meanwhile.

    Raises:
        BaseLocked: Another process is writing to this base.
        DiskFull: There is no room to write the catalog a second time.
    """
    with stack.writing(), no_space_reported("a second copy of the files"):
        before = _size(stack.folder)
        parts = stack.parts
        parts.sweep()
        names = parts.catalog.collections()
        for name in names:
            stack.catch_up(name)
            for index in parts.indexes(name).values():
                if isinstance(index, Compactable):
                    index.compact()
        vectors = 0
        if under_way(parts.catalog) is None:  # which has vectors of another embedder
            cache: Any = parts.embedder
            vectors = cache.prune(_texts(parts.catalog, names))
        _prune_signatures(parts.catalog, names, stack.folder / FILE_NAME)
        parts.catalog.compact()
        return CompactReport(before, _size(stack.folder), vectors)


def _texts(catalog: Catalog, names: list[str]) -> Iterator[list[str]]:
    """Yield what the chunks of all collections are indexed by, some at a time."""
    some: list[str] = []
    for name in names:
        for info in catalog.documents(collection=name):
            some += [chunk.indexed_text for chunk in catalog.chunks_of(info.id, collection=name)]
            if len(some) >= _TEXTS:
                yield some
                some = []
    yield some


def _prune_signatures(catalog: Catalog, names: list[str], path: Path) -> None:
    if path.exists():
        signatures = registry.load("near_duplicates", "signatures")(path)
        try:
            signatures.prune(
                info.digest for name in names for info in catalog.documents(collection=name)
            )
        finally:
            signatures.close()


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # a reader's own file, gone meanwhile
            continue
    return total
