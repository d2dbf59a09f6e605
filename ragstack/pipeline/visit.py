"""One time at one place: what changed there since the last time, and what has gone from it.

What is remembered is a record of kind ``sync``: the moment from which to ask the place next, what
it held (so that deletions are noticed where it does not tell of them), and what the connector wants
to find again. While a sync runs, a record of kind ``sync_batch`` names what each batch holds before
it is written: a process killed anywhere forgets no address, and takes none for stored that is not.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ragstack.errors import NotFound
from ragstack.pipeline.origins import reading
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.places import Place
from ragstack.protocols import Catalog
from ragstack.types import Failure, Gone, IngestReport, Record, Source

__all__ = ["BATCH", "KIND", "Visit"]

KIND, BATCH = "sync", "sync_batch"
_OVERLAP = timedelta(minutes=2)  # by which the clock of a place may be behind ours
_ALL = 1_000_000_000  # records


@dataclass(slots=True)
class _Memory:
    """What is remembered of a place.

    Attributes:
        made: Digest of everything that decides what a sync takes in; another one asks anew.
        since: The moment from which to ask next.
        seen: Addresses that the place held.
        failed: Those that could not be taken in, or may not have been; they are asked for again.
        state: The connector's own.
        unsure: Addresses of batches that a sync which came to no end wrote, or was about to.
    """

    made: str
    since: datetime | None = None
    seen: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    state: Mapping[str, Any] = field(default_factory=dict)
    unsure: frozenset[str] = frozenset()


class Visit:
    """One time at one place. ``changes`` is asked without the right to write, all else with it.

    Attributes:
        broke: Why the place could not be read to its end.
    """

    def __init__(
        self, parts: Parts, place: Place, connector: Any, *, tables: Mapping[str, Any], full: bool
    ) -> None:
        self._catalog = parts.catalog
        self._place = place
        self._tables = tables
        self._connector = connector
        self._full = full
        self._begun = datetime.now(UTC)
        self._known = known = _remembered(self._catalog, place.name, _made(place, parts))
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
        self._seen: set[str] = set()
        self._gone: set[str] = set()
        self._written: set[str] = set()
        self._removed: set[str] = set()
        self._batches: list[str] = []
        self.broke: Exception | None = None

    def changes(self) -> Iterator[Source | Gone]:
        """Yield what changed, as the place gives it."""
        try:
            for each in self._connector.fetch(since=self._since):
                met = self._gone if isinstance(each, Gone) else self._seen
                if each.uri not in met:
                    met.add(each.uri)
                    yield each
        except Exception as error:  # a connector may be anyone's; what came before it is taken in
            self.broke = error
            return
        self._failures = list(getattr(self._connector, "failures", ()))

    @contextmanager
    def writing(self, batch: Sequence[Source | Gone]) -> Iterator[None]:
        """Remember what is about to be written, and afterwards that it was."""
        gone = {each.uri for each in batch if isinstance(each, Gone)}
        came = {each.uri for each in batch if isinstance(each, Source)}
        name = f"{self._place.name}:{secrets.token_hex(8)}"
        body = {
            "place": self._place.name,
            "collection": self._place.collection,
            "seen": sorted(came),
            "gone": sorted(gone),
        }
        self._catalog.put_record(Record(BATCH, name, body, datetime.now(UTC)))
        yield
        self._batches.append(name)
        self._written |= came
        self._removed |= gone

    def rest(self, fail: Callable[[Failure], None]) -> Iterator[Gone]:
        """Yield what has gone without the place saying so; after all changes."""
        for failure in self._failures:
            fail(failure)
        there, held = self._there(), self._known.seen | self._known.unsure
        if held and not there and not self._gone and not self._full:
            # A disk that is not mounted looks like this, and a prefix with a slip in it.
            self.broke = NotFound(
                f"{self._place.name!r} is empty, and held {len(held)} sources before",
                hint=f"if it is right, `ragstack sync --full {self._place.name}` removes them",
            )
            return
        for uri in sorted(held - there - self._gone - self._elsewhere()):
            yield Gone(uri)
        self._seen = set(there - self._gone)

    def remember(self, report: IngestReport) -> None:
        """Keep what the next time needs: it went to its end, and all of it is written."""
        # What failed is asked for again, however old it will be by then.
        stays = bool(self._failures) and not self._chooses
        since = self._known.since if stays else self._begun - _OVERLAP
        body = {
            "made": self._known.made,
            "since": since.isoformat() if since else None,
            "collection": self._place.collection,
            "seen": sorted(self._seen),
            "state": dict(self._connector.state) if self._keeps else {},
            "failed": [[f.source, f.reason] for f in report.failed],
            "error": "",
        }
        self._catalog.put_record(Record(KIND, self._place.name, body, self._begun))
        self._catalog.remove_records(BATCH, _batches_of(self._catalog, self._place.name))

    def note(self, report: IngestReport, error: str) -> None:
        """Remember that it was tried, and what was written; the rest stays as it was."""
        name, catalog, collection = self._place.name, self._catalog, self._place.collection
        record = catalog.record(KIND, name)
        body: dict[str, Any] = dict(record.body) if record else {}
        if body.setdefault("collection", collection) == collection:
            seen = {*body.get("seen", ()), *self._written} - self._removed
            failed = {u: reason for u, reason in body.get("failed", ()) if u not in self._written}
            failed |= {failure.source: failure.reason for failure in report.failed}
            body |= {"seen": sorted(seen), "failed": [list(each) for each in failed.items()]}
            catalog.remove_records(BATCH, self._batches)
        body["error"] = error
        catalog.put_record(Record(KIND, name, body, datetime.now(UTC)))

    def _there(self) -> frozenset[str]:
        """Return the addresses that the place holds, as far as it says."""
        known = self._known.seen | self._known.unsure
        failed = {failure.source for failure in self._failures}
        kept = known & failed  # what cannot be read just now is not gone
        if not self._tells:
            return frozenset(self._seen | kept)
        present = self._connector.present
        if present is None:
            return known | self._seen
        return frozenset(present) | kept

    def _elsewhere(self) -> set[str]:
        """Return the addresses that other places brought into the same collection."""
        found: set[str] = set()
        for record in _records(self._catalog, KIND) + _records(self._catalog, BATCH):
            name = record.body.get("place", record.id)
            same = record.body.get("collection") == self._place.collection
            if same and name != self._place.name and name in self._tables:
                found.update(record.body.get("seen", ()))
        return found


def _remembered(catalog: Catalog, name: str, made: str) -> _Memory:
    record = catalog.record(KIND, name)
    body = record.body if record else {}
    seen = frozenset(body.get("seen", ()))
    batches = [each.body for each in _records(catalog, BATCH) if each.body.get("place") == name]
    unsure = frozenset(uri for batch in batches for uri in batch["seen"])
    if body.get("made") != made:
        # Options, readers or the way texts are read changed: all is asked for anew. What it held
        # is still known, so that what the new options leave out goes.
        return _Memory(made, seen=seen, unsure=unsure)
    since = body.get("since")
    moment = datetime.fromisoformat(since) if since else None
    failed = {address for address, _reason in body.get("failed", ())}
    failed.update(unsure, *(batch["gone"] for batch in batches))
    return _Memory(made, moment, seen, frozenset(failed), body.get("state", {}), unsure)


def _batches_of(catalog: Catalog, name: str) -> list[str]:
    return [each.id for each in _records(catalog, BATCH) if each.body.get("place") == name]


def _records(catalog: Catalog, kind: str) -> list[Record]:
    return list(catalog.records(kind, limit=_ALL))


def _made(place: Place, parts: Parts) -> str:
    what = (
        place.use, place.options, place.collection, place.readers, dict(place.meta),
        reading(), parts.cutting(),
    )  # fmt: skip
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
