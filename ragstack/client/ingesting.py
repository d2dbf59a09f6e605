"""Sources in, an ingest at the server with its steps, its report out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragstack.client.asking import named
from ragstack.client.connection import Connection, ServerEvent
from ragstack.client.errors import error_of
from ragstack.client.uploads import Reading, merged
from ragstack.errors import Cancelled, InputError, RagstackError, RemoteError
from ragstack.pipeline.ingest import Step, checked_meta
from ragstack.pipeline.wire import step_of
from ragstack.protocols import Connector
from ragstack.types import IngestReport, Meta
from ragstack.types.wire import parsed, report_of

__all__ = ["Ingesting"]

Progress = Callable[[Step], None]


class Ingesting:
    """Ingests of one server. One after the other: a base has one writer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def uploaded(
        self,
        sources: Sequence[str | Path | Connector],
        *,
        collection: str,
        meta: Meta | None,
        readers: Sequence[str],
        progress: Progress | None,
    ) -> tuple[IngestReport, list[str]]:
        """Send sources up; return what happened to them, and what a connector says is gone."""
        if isinstance(readers, str):
            raise InputError(f"readers is a list of names, got {readers!r}")
        reading = Reading(sources, checked_meta(meta), readers)
        reports = []
        for batch in reading.batches():
            job = self._connection.upload("/api/ingest", batch.form(collection), batch.files)
            reports.append(self._report(job, progress))
        report = merged(reports)
        return replace(report, failed=(*report.failed, *reading.failures)), reading.gone

    def there(
        self,
        paths: Sequence[str],
        *,
        connector: Mapping[str, Any] | None,
        collection: str,
        progress: Progress | None,
    ) -> IngestReport:
        """Take in what is at the server."""
        if bool(paths) == (connector is not None):
            raise InputError("give paths of the server's machine, or a connector, and not both")
        body: dict[str, Any] = {"collection": collection}
        body |= {"paths": list(paths)} if connector is None else {"connector": dict(connector)}
        return self._report(self._connection.post("/api/ingest", body), progress)

    def cancel(self, job: str) -> None:
        """Stop an ingest between two documents."""
        self._connection.post(f"/api/ingest/{named(job)}/cancel", {})

    def _report(self, told: Any, progress: Progress | None) -> IngestReport:
        job = parsed(lambda data: str(data["job"]), told)
        try:
            with self._connection.events("GET", f"/api/ingest/{named(job)}/events") as events:
                return _ended(events, progress or (lambda _step: None))
        except Cancelled:
            raise
        except BaseException as error:
            # Whoever waits has stopped waiting; an ingest of a Stack would stop there too.
            if not isinstance(error, RemoteError):
                with suppress(RagstackError):
                    self.cancel(job)
            raise


def _ended(events: Iterator[ServerEvent], progress: Progress) -> IngestReport:
    for event in events:
        if event.name == "step":
            progress(parsed(step_of, event.data))
        elif event.name == "done":
            return parsed(_reported, event.data)
        elif event.name == "error":
            raise error_of(event.data)
    raise RemoteError("the server told of an ingest's steps, and not of its end", retryable=True)


def _reported(data: Mapping[str, Any]) -> IngestReport:
    inner = data.get("report", data)
    return report_of(inner if isinstance(inner, Mapping) else data)
