"""A base in, the same base with another embedder or chunker out, searched all the while.

The new generation is built beside the old one: its documents, cut anew, in a hidden collection, its
indexes in folders of their own. When it is complete, one transaction puts it in the old one's
place. Killed anywhere before, it is taken up where it stood; killed after, what is left of the old
one is swept up by the next writer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from ragstack.config import Plugin
from ragstack.pipeline.catchup import catch_up, no_space_reported
from ragstack.pipeline.generations import (
    Made,
    as_data,
    generation_of,
    record,
    retired,
    shadow,
    under_way,
)
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.stack import Stack
from ragstack.protocols import Catalog
from ragstack.types import Document, DocumentInfo

__all__ = ["Rebuilding", "ReindexReport", "abandon", "reindex"]


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """How far a rebuild has come, for a progress bar.

    Attributes:
        step: ``cut`` or ``index``.
        done: Documents cut, or chunks indexed, of ``total``.
    """

    collection: str
    step: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What a rebuild made.

    Attributes:
        generation: The number of the generation that is now in force.
        embedder: Fingerprint of its embedder.
        documents: Documents in all collections.
        resumed: Documents that an earlier run had cut already.
    """

    generation: int
    embedder: str
    documents: int
    chunks: int
    resumed: int


Watch = Callable[[Rebuilding], None]


def reindex(
    stack: Stack,
    *,
    embed: Plugin | None = None,
    chunk: Plugin | None = None,
    progress: Watch = lambda _step: None,
) -> ReindexReport:
    """Build every collection anew, from the documents in the catalog, and switch to it.

    Run again after a kill with the same wish, it goes on; with another, it begins anew.

    Args:
        embed: The embedder; else the configured one.
        chunk: The chunker; else the configured one.

    Raises:
        BaseLocked: Another process is writing to this base.
        DiskFull: There is no room for a second generation beside the first.
    """
    with stack.writing():
        stack.parts.sweep()
        catalog, live = stack.parts.catalog, stack.parts
        config = replace(
            stack.config, embed=embed or stack.config.embed, chunk=chunk or stack.config.chunk
        )
        target = json.dumps([as_data(config.embed), as_data(config.chunk)])
        generation = generation_of(catalog) + 1
        if under_way(catalog) not in (None, target):
            abandon(stack)
        parts = Parts(stack.folder, config, generation=generation)
        try:
            # Both are made before anything is written: a wish that cannot be met changes nothing.
            embedder, _ = parts.raw_embedder.fingerprint, parts.chunker
            catalog.set_setting("reindex", target)
            names = catalog.collections()
            resumed = sum(_cut(live.catalog, parts, name, progress) for name in names)
            for name in names:
                _index(parts, name, progress)
            _switch(stack, parts, names, embedder)
        finally:
            parts.close()
        stack.parts.sweep()
        counts = [catalog.counts(collection=name) for name in names]
        return ReindexReport(
            generation, embedder, sum(d for d, _ in counts), sum(c for _, c in counts), resumed
        )


def abandon(stack: Stack) -> bool:
    """Delete a generation that is being built; return whether there was one.

    Raises:
        BaseLocked: Another process is writing to this base, or building it.
    """
    with stack.writing():
        catalog = stack.parts.catalog
        there = under_way(catalog) is not None
        for name in catalog.collections(hidden=True):
            catalog.drop(name)
        catalog.set_setting("reindex", None)
        stack.parts.sweep()
        return there


def _cut(catalog: Catalog, parts: Parts, collection: str, progress: Watch) -> int:
    """Bring the hidden collection up to the shown one; return how many documents it had."""
    hidden, cutting = shadow(collection), parts.cutting()
    held = {info.id: info for info in parts.catalog.documents(collection=hidden)}
    shown = {info.id: info for info in catalog.documents(collection=collection)}
    parts.catalog.remove([each for each in held if each not in shown], collection=hidden)
    resumed = 0
    for done, info in enumerate(shown.values(), start=1):
        origin = _origin(info, cutting)
        if _same(held.get(info.id), info, origin):
            resumed += 1
        else:
            document = catalog.document(info.id, collection=collection)
            if document is not None:
                _put(parts, document, hidden, origin)
        progress(Rebuilding(collection, "cut", done, len(shown)))
    return resumed


def _put(parts: Parts, document: Document, collection: str, origin: str) -> None:
    with no_space_reported("the catalog"):
        parts.catalog.put(
            document, parts.chunker.chunk(document), collection=collection, origin=origin
        )


def _origin(info: DocumentInfo, cutting: str) -> str:
    """Return the origin that an ingest of the same source would now compute."""
    state, stop, _ = info.origin.rpartition(".")
    return f"{state}.{cutting}" if stop else info.origin


def _same(held: DocumentInfo | None, info: DocumentInfo, origin: str) -> bool:
    return held is not None and (held.digest, held.origin, held.meta, held.readers) == (
        info.digest,
        origin,
        info.meta,
        info.readers,
    )


def _index(parts: Parts, collection: str, progress: Watch) -> None:
    hidden = shadow(collection)
    parts.mend(hidden)
    _, total = parts.catalog.counts(collection=hidden)
    for index in parts.indexes(hidden).values():
        done = 0

        def step(chunks: int) -> None:
            nonlocal done
            done += chunks
            progress(Rebuilding(collection, "index", min(done, total), total))

        catch_up(
            parts.catalog,
            index,
            collection=hidden,
            batch=parts.config.ingest.batch,
            progress=step,
        )


def _switch(stack: Stack, parts: Parts, names: list[str], embedder: str) -> None:
    catalog = stack.parts.catalog
    made = {
        "embed": Made(parts.config.embed, stack.config.embed),
        "chunk": Made(parts.config.chunk, stack.config.chunk),
    }
    changes: dict[str, str] = {}
    for name in names:
        changes[name] = retired(name)
        changes[shadow(name)] = name
    settings: dict[str, str | None] = {
        **record(made),
        "embedder": embedder,
        "generation": str(parts.generation),
        "reindex": None,
    }
    catalog.rename(changes, settings=settings)
