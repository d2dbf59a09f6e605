"""Sources in, a report out, with the parts of a base: what `ingest` and `sync` both do.

Knows nothing of where the sources come from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ragstack.pipeline.gate import gated
from ragstack.pipeline.ingest import Ingest, Step, checked_meta
from ragstack.pipeline.origins import reading
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.spent import spent_by, told
from ragstack.pipeline.upkeep import apply_journal
from ragstack.types import Failure, Gone, IngestReport, Meta, Source

__all__ = ["Intake", "make_ready", "take", "take_in"]

Fetch = Callable[[Callable[[Failure], None]], Iterable[Source | Gone]]


@dataclass(frozen=True, slots=True)
class Intake:
    """What holds for all sources of one run.

    Attributes:
        collection: Where they go.
        roots: A known source under one of these that is not met is removed.
        meta: Added to every document's metadata.
        readers: Who may see the documents; empty leaves it to the sources.
        progress: Called after every step, by one thread at a time; None is not.
    """

    collection: str
    roots: Sequence[str] = ()
    meta: Meta | None = field(default=None)
    readers: Sequence[str] = ()
    progress: Callable[[Step], None] | None = None


def take_in(parts: Parts, folder: Path, fetch: Fetch, intake: Intake) -> IngestReport:
    """Take sources in and return what happened to each. The caller holds the right to write.

    Args:
        folder: The base's.
        fetch: Yields the sources; what it could not read it tells to the function it is given.
    """
    make_ready(parts, intake.collection)
    before = spent_by(parts.chunker)
    report = take(parts, folder, fetch, intake)
    return replace(report, notes=told(spent_by(parts.chunker).since(before)))


def make_ready(parts: Parts, collection: str) -> None:
    """Mend what another writer left behind, and open what is written to; for who may write.

    Raises:
        EmbedderMismatch: The base was built with another embedder.
    """
    parts.sweep()
    parts.mend(collection)
    parts.indexes(collection)
    parts.record_embedder()


def take(parts: Parts, folder: Path, fetch: Fetch, intake: Intake) -> IngestReport:
    """Take sources into a base that was made ready, as ``take_in`` does."""
    collection = intake.collection
    step = _one_by_one(intake.progress or (lambda _step: None))
    near = parts.config.ingest.near_duplicates
    parts.describing = lambda done, _total: step(Step("described", chunks=done))
    with gated(near, parts.catalog, folder, collection=collection) as gate:
        run = Ingest(
            catalog=parts.catalog,
            chunker=parts.chunker,
            load=parts.load,
            index=lambda: apply_journal(parts, collection, step),
            collection=collection,
            reading=reading(),
            cutting=parts.cutting(),
            batch=parts.config.ingest.batch,
            roots=intake.roots,
            meta=checked_meta(intake.meta),
            readers=tuple(intake.readers),
            progress=step,
            gate=gate,
            skip_near=near == "skip",
        )
        return run.run(fetch(run.fail))


def _one_by_one(progress: Callable[[Step], None]) -> Callable[[Step], None]:
    """Return it for two threads: one takes documents, the other one indexes them."""
    lock = threading.Lock()

    def step(done: Step) -> None:
        with lock:
            progress(done)

    return step
