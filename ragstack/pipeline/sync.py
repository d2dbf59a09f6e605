"""A place in, what changed there brought into a base, and remembered until the next time.

The right to write is held only while a batch is written, not while a place is asked: a slow service
keeps nobody from writing. Knows nothing of any place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from ragstack import registry
from ragstack.config import Config
from ragstack.errors import RagstackError
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.intake import Fetch, Intake, make_ready, take
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.places import Place
from ragstack.pipeline.spent import spent_by, told
from ragstack.pipeline.turns import Bounds, alone, in_batches, turn
from ragstack.pipeline.visit import KIND, Visit
from ragstack.protocols import Catalog, Closeable
from ragstack.types import Failure, Gone, IngestReport, Record, Source

__all__ = ["KIND", "Synced", "sync_place", "waits"]

_log = logging.getLogger(__name__)


class _Base(Protocol):
    """What is needed of a Stack."""

    parts: Parts
    folder: Path
    config: Config

    def writing(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class Synced:
    """What the sync of one place did.

    Attributes:
        name: The place.
        report: What happened to each source; what came before a failure is in it, and stored.
        error: Why the place could not be read to its end; empty where it was.
        hint: What to do about that.
    """

    name: str
    report: IngestReport = field(default_factory=IngestReport)
    error: str = ""
    hint: str = ""


def sync_place(
    base: _Base,
    place: Place,
    *,
    full: bool = False,
    progress: Callable[[Step], None] | None = None,
    bounds: Bounds | None = None,
) -> Synced:
    """Bring one place in, and return what happened; whatever goes wrong with it is told there.

    Args:
        full: Ask for everything, whatever was seen before.
        bounds: When what was fetched is written: that much of it is kept in memory.
    """
    intake = Intake(place.collection, (), place.meta, place.readers, progress)
    run = _Run(base, place, intake, bounds or Bounds())
    begun = time.perf_counter()
    error: Exception | None = None
    try:
        with alone(base.folder, place.name):
            try:
                run.go(full=full)
                error = run.visit.broke if run.visit else None
            except Exception as raised:  # one place stops no other
                error = raised
            if error is not None:
                run.note(_said(place, error)[0])
    except RagstackError as raised:
        error = raised
    report = replace(run.report, seconds=time.perf_counter() - begun)
    if error is None:
        return Synced(place.name, report)
    _log.debug("the connector %r of %r failed", place.use, place.name, exc_info=error)
    return Synced(place.name, report, *_said(place, error))


def waits(catalog: Catalog, places: Sequence[Place], every_s: float) -> dict[str, float]:
    """Return the seconds until each place is to be synced again, 0 for now.

    Args:
        every_s: For the places that say nothing themselves.
    """
    now, found = datetime.now(UTC), {}
    for place in places:
        record = catalog.record(KIND, place.name)
        passed = (now - record.at).total_seconds() if record else float("inf")
        found[place.name] = max(0.0, (place.every_s or every_s) - passed)
    return found


class _Run:
    """One sync of one place: fetches without the right to write, and writes in turns."""

    def __init__(self, base: _Base, place: Place, intake: Intake, bounds: Bounds) -> None:
        self._base = base
        self._place = place
        self._intake = intake
        self._bounds = bounds
        self._position = -1  # of the journal after the last turn; -1 before the first
        self.visit: Visit | None = None
        self.report = IngestReport()

    def go(self, *, full: bool) -> None:
        """Do it, up to where the place breaks off; ``report`` is what was done by then."""
        base, place = self._base, self._place
        connector = registry.create("connectors", place.use, place.options)
        try:
            with self._turn():
                chunker = base.parts.chunker
                before = spent_by(chunker)
                self.visit = visit = Visit(
                    base.parts, place, connector, tables=base.config.sync, full=full
                )
            for batch in in_batches(visit.changes(), _size, self._bounds):
                with self._turn(), visit.writing(batch):
                    self._take(partial(_as_they_are, batch))
            if visit.broke is None:
                with self._turn():
                    self._take(visit.rest)
                    if visit.broke is None:
                        visit.remember(self.report)
            self.report = replace(self.report, notes=told(spent_by(chunker).since(before)))
        finally:
            if isinstance(connector, Closeable):
                connector.close()

    def note(self, error: str) -> None:
        """Remember that it was tried, and what of it was written."""
        catalog = self._base.parts.catalog
        try:
            with self._base.writing():
                if self.visit is not None:
                    self.visit.note(self.report, error)
                    return
                record = catalog.record(KIND, self._place.name)
                body = dict(record.body) if record else {"collection": self._place.collection}
                body["error"] = error
                catalog.put_record(Record(KIND, self._place.name, body, datetime.now(UTC)))
        except RagstackError as second:
            _log.debug("that %r failed could not be kept", self._place.name, exc_info=second)

    def _take(self, fetch: Fetch) -> None:
        found = take(self._base.parts, self._base.folder, fetch, self._intake)
        self.report = IngestReport(
            **{f.name: getattr(self.report, f.name) + getattr(found, f.name) for f in fields(found)}
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the right to write, over a base that nobody left in the middle of something."""
        parts, collection = self._base.parts, self._place.collection
        with turn(self._base.writing):
            if parts.catalog.position(collection=collection) != self._position:
                make_ready(parts, collection)
            yield
            self._position = parts.catalog.position(collection=collection)


def _as_they_are(
    batch: list[Source | Gone], _fail: Callable[[Failure], None]
) -> list[Source | Gone]:
    return batch


def _size(each: Source | Gone) -> int:
    return len(each.data) if isinstance(each, Source) else 0


def _said(place: Place, error: Exception) -> tuple[str, str]:
    """Return what a person is told, and what to do."""
    if isinstance(error, RagstackError):
        return error.message, error.hint
    # Other errors may show what nobody should see.
    return f"the connector {place.use!r} failed: {type(error).__name__}", ""
