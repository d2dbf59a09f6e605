"""A place in, what changed there brought into a base, and remembered until the next time.

What is remembered is a record of kind ``sync``: the moment from which to ask the place next, what
it held (so that deletions are noticed where it does not tell of them), and what the connector wants
to find again. Knows nothing of any place.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from ragstack import registry
from ragstack.config import Config
from ragstack.errors import NotFound, RagstackError
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.intake import Intake, take_in
from ragstack.pipeline.origins import reading
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.places import Place
from ragstack.pipeline.roots import note_roots
from ragstack.protocols import Catalog, Closeable
from ragstack.types import Failure, Gone, IngestReport, Record, Source

__all__ = ["KIND", "Synced", "sync_place", "waits"]

KIND = "sync"
_OVERLAP = timedelta(minutes=2)  # by which the clock of a place may be behind ours

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


@dataclass(slots=True)
class _Memory:
    """What is remembered of a place.

    Attributes:
        made: Digest of everything that decides what a sync takes in; another one asks anew.
        since: The moment from which to ask next.
        seen: Addresses that the place held.
        failed: Those that could not be taken in, which are asked for again.
        state: The connector's own.
    """

    made: str
    since: datetime | None = None
    seen: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    state: Mapping[str, Any] = field(default_factory=dict)


def sync_place(
    base: _Base,
    place: Place,
    *,
    full: bool = False,
    progress: Callable[[Step], None] | None = None,
) -> Synced:
    """Bring one place in, and return what happened; whatever goes wrong with it is told there."""
    visit: _Visit | None = None
    report = IngestReport()
    error: Exception | None = None
    try:
        with base.writing():
            connector = registry.create("connectors", place.use, place.options)
            try:
                visit = _Visit(base, place, connector, full=full)
                catalog, whose = base.parts.catalog, place.readers
                note_roots(catalog, [connector], collection=place.collection, readers=whose)
                intake = Intake(place.collection, (), place.meta, place.readers, progress)
                report = take_in(base.parts, base.folder, visit.sources, intake)
                error = visit.broke
                if error is None:
                    base.parts.catalog.put_record(visit.remembered(report))
            finally:
                if isinstance(connector, Closeable):
                    connector.close()
    except Exception as raised:  # one place stops no other
        error = raised
    if error is None:
        return Synced(place.name, report)
    _log.debug("the connector %r of %r failed", place.use, place.name, exc_info=error)
    said, hint = f"the connector {place.use!r} failed: {type(error).__name__}", ""
    if isinstance(error, RagstackError):  # other errors may show what nobody should see
        said, hint = error.message, error.hint
    _note(base, place, visit, said)
    return Synced(place.name, report, said, hint)


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


class _Visit:
    """One time at one place: asks it for what changed, and finds out what has gone from it."""

    def __init__(self, base: _Base, place: Place, connector: Any, *, full: bool) -> None:
        catalog = base.parts.catalog
        self._place = place
        self._connector = connector
        self._full = full
        self._begun = datetime.now(UTC)
        self._known = known = _remembered(catalog, place.name, _made(place, base.parts))
        self._elsewhere = _of_others(catalog, place, base.config.sync)
        # What does not say what is there is asked for everything, and what it leaves out has gone.
        self._tells = hasattr(connector, "present")
        self._since = known.since if self._tells and not full else None
        self._chooses = hasattr(connector, "known")
        if self._chooses:
            self._connector.known = known.seen - known.failed
        self._keeps = hasattr(connector, "state")
        if self._keeps:
            self._connector.state = {} if full else dict(known.state)
        self._failures: list[Failure] = []
        self.seen: set[str] = set()
        self.broke: Exception | None = None

    def sources(self, fail: Callable[[Failure], None]) -> Iterator[Source | Gone]:
        """Yield what changed, then what has gone."""
        gone: set[str] = set()
        try:
            for each in self._connector.fetch(since=self._since):
                (gone if isinstance(each, Gone) else self.seen).add(each.uri)
                yield each
        except Exception as error:  # a connector may be anyone's; what came before it is taken in
            self.broke = error
            return
        self._failures = list(getattr(self._connector, "failures", ()))
        for failure in self._failures:
            fail(failure)
        there = self._there()
        if self._known.seen and not there and not gone and not self._full:
            # A disk that is not mounted looks like this, and a prefix with a slip in it.
            self.broke = NotFound(
                f"{self._place.name!r} is empty, and held {len(self._known.seen)} sources before",
                hint=f"if it is right, `ragstack sync --full {self._place.name}` removes them",
            )
            return
        for uri in sorted(self._known.seen - there - gone - self._elsewhere):
            yield Gone(uri)
        self.seen = set(there - gone)

    def remembered(self, report: IngestReport) -> Record:
        """Return the record for the next time."""
        # What failed is asked for again, however old it will be by then.
        stays = bool(self._failures) and not self._chooses
        since = self._known.since if stays else self._begun - _OVERLAP
        failed = [[f.source, f.reason] for f in report.failed]
        body = {
            "made": self._known.made,
            "since": since.isoformat() if since else None,
            "collection": self._place.collection,
            "seen": sorted(self.seen),
            "state": dict(self._connector.state) if self._keeps else {},
            "failed": failed,
            "error": "",
        }
        return Record(KIND, self._place.name, body, self._begun)

    def _there(self) -> frozenset[str]:
        """Return the addresses that the place holds, as far as it says."""
        failed = {failure.source for failure in self._failures}
        kept = self._known.seen & failed  # what cannot be read just now is not gone
        if not self._tells:
            return frozenset(self.seen | kept)
        present = self._connector.present
        if present is None:
            return self._known.seen | self.seen
        return frozenset(present) | kept


def _remembered(catalog: Catalog, name: str, made: str) -> _Memory:
    record = catalog.record(KIND, name)
    body = record.body if record else {}
    seen = frozenset(body.get("seen", ()))
    if body.get("made") != made:
        # Options, readers or the way texts are read changed: all is asked for anew. What it held
        # is still known, so that what the new options leave out goes.
        return _Memory(made, seen=seen)
    since = body.get("since")
    moment = datetime.fromisoformat(since) if since else None
    failed = frozenset(address for address, _reason in body.get("failed", ()))
    return _Memory(made, moment, seen, failed, body.get("state", {}))


def _of_others(catalog: Catalog, place: Place, tables: Mapping[str, Any]) -> set[str]:
    """Return the addresses that other places brought into the same collection."""
    found: set[str] = set()
    for record in catalog.records(KIND):
        same = record.body.get("collection") == place.collection
        if same and record.id != place.name and record.id in tables:
            found.update(record.body.get("seen", ()))
    return found


def _made(place: Place, parts: Parts) -> str:
    what = (
        place.use, place.options, place.collection, place.readers, dict(place.meta),
        reading(), parts.cutting(),
    )  # fmt: skip
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _note(base: _Base, place: Place, visit: _Visit | None, error: str) -> None:
    """Remember that it was tried, and what came before the failure; the rest stays as it was."""
    try:
        with base.writing():
            record = base.parts.catalog.record(KIND, place.name)
            body: dict[str, Any] = dict(record.body) if record else {"collection": place.collection}
            if visit and body.get("collection") == place.collection:
                body["seen"] = sorted({*body.get("seen", ()), *visit.seen})
            at = datetime.now(UTC)
            base.parts.catalog.put_record(Record(KIND, place.name, {**body, "error": error}, at))
    except RagstackError as second:
        _log.debug("that %r failed could not be kept", place.name, exc_info=second)
