"""Ingests in, one after another in a thread of their own; progress out to whoever follows.

A job that is cancelled stops between two documents: each is in the base whole, or not at all. Jobs
are kept as records, so that the next server takes up what this one did not come to.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ragstack.cli.output import report_json
from ragstack.errors import Cancelled, NotFound, RagstackError
from ragstack.pipeline.ingest import Step
from ragstack.types import IngestReport
from ragstack_apps.server.caller import Caller
from ragstack_apps.server.connecting import connector_of
from ragstack_apps.server.errors import HttpError, failure_of
from ragstack_apps.server.job import KIND, Ingesting, Job
from ragstack_apps.server.served import ServedStack
from ragstack_apps.server.uploads import UploadConnector, Uploads

__all__ = ["Ingesting", "Job", "Jobs"]

_logger = logging.getLogger(__name__)

_KEPT = 100  # jobs that are remembered
_QUEUE = 100
_TRIES = 3  # times that a server may be killed in the middle of one
_BETWEEN = frozenset({"added", "updated", "unchanged", "removed", "skipped", "failed"})
_STOPPED = "the ingest was cancelled; what it had taken in is whole"
_PAUSED = "the server was stopped; the ingest goes on when it starts again"
_KILLED = "the server was killed each time it took this in; what was taken in is whole"


class Jobs:
    """The ingests of one base. Safe to use from many threads.

    Args:
        counted: Told what became of each document: ``added``, ``failed``.

    Attributes:
        uploads: Files that were sent.
    """

    def __init__(self, stack: ServedStack, counted: Callable[[str], None]) -> None:
        self._stack = stack
        self._counted = counted
        self._catalog = stack.parts.catalog
        self.uploads = Uploads(stack.folder / "uploads", stack.parts.catalog)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._closing = False
        self._take_up()
        self._thread = threading.Thread(target=self._serve, name="ragstack-ingest", daemon=True)
        self._thread.start()

    def start(self, what: Ingesting, caller: Caller) -> Job:
        """Queue an ingest.

        Raises:
            HttpError: Too many wait, or the server is shutting down.
        """
        job = Job(state="queued", id=f"job-{secrets.token_hex(8)}", caller=caller, what=what)
        with self._lock:
            if self._closing:
                raise HttpError(503, "the server is shutting down")
            if self._queue.qsize() >= _QUEUE:
                raise HttpError(429, f"{_QUEUE} ingests wait already", code="ingest_busy")
            job.at = datetime.now(UTC)  # in the order of the queue
            self._catalog.put_record(job.record())
            self._jobs[job.id] = job
            self._forget()
            self._queue.put(job)
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job between two documents, or before it begins; no later server takes it up."""
        job.given_up = True
        job.cancel.set()
        with self._lock:
            if job.at_work:  # else how it ended is kept already, or will be in a moment
                self._put(job, "cancelled")

    def get(self, job_id: str, caller: Caller) -> Job:
        """Return a job.

        Raises:
            NotFound: There is none that the caller may see.
        """
        job = self._jobs.get(job_id)
        if job is None or not self._sees(caller, job):
            raise NotFound(f"there is no ingest {job_id!r}")
        return job

    def list(self, caller: Caller) -> list[Job]:
        """Return the jobs that the caller may see, the latest first."""
        with self._lock:
            found = list(self._jobs.values())
        return [job for job in reversed(found) if self._sees(caller, job)]

    def close(self) -> None:
        """Stop what runs, leave what waits to the next server, wait until the base is at rest."""
        with self._lock:
            self._closing = True
            for job in self._jobs.values():
                job.cancel.set()
        self._queue.put(None)
        self._thread.join()

    def _sees(self, caller: Caller, job: Job) -> bool:
        mine = job.caller.user == caller.user or caller.may("admin")
        return mine and caller.sees(job.what.collection)

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            if not job.cancel.is_set():
                job.say("state", {"state": "running"}, state="running")
                job.tries += 1
                self._keep(job)
            try:
                report = self._work(job)
                job.report = report_json(report)
                job.say("done", {"report": job.report}, state="done")
            except Exception as error:
                self._end(job, error)
                continue
            self._keep(job)

    def _end(self, job: Job, error: Exception) -> None:
        """Say why a job ended early; one that a stop of the server ended is kept as waiting."""
        cancelled = isinstance(error, Cancelled)
        if cancelled and self._closing and not job.given_up:
            if job.state == "running":
                job.tries -= 1  # a stop in good order is none of those that kill
            self._keep(job, "queued")
            job.say("error", failure_of(HttpError(503, _PAUSED)).body, state="interrupted")
            return
        failure = failure_of(HttpError(503, _STOPPED) if cancelled else error)
        job.say("error", failure.body, state="cancelled" if cancelled else "failed")
        self._keep(job)

    def _take_up(self) -> None:
        """Queue what earlier servers did not come to, in its order; what they ended is shown."""
        records = sorted(self._catalog.records(KIND, limit=10_000), key=lambda r: (r.at, r.id))
        for record in records:
            try:
                job = Job.of(record)
            except (KeyError, TypeError, ValueError):
                _logger.warning("the record of the ingest %r cannot be read", record.id)
                continue
            self._jobs[job.id] = job
            if job.state == "running" and job.tries >= _TRIES:
                # What kills the server whenever it is read must not kill it at every start.
                job.say("error", failure_of(HttpError(503, _KILLED)).body, state="interrupted")
                self._keep(job)
            elif job.at_work:
                job.state = "queued"
                self._queue.put(job)
        self._forget()

    def _keep(self, job: Job, state: str = "") -> None:
        with self._lock:
            self._put(job, state)

    def _put(self, job: Job, state: str) -> None:
        try:
            self._catalog.put_record(job.record(state))
        except RagstackError:
            # The ingest itself is not lost with its record.
            _logger.exception("how the ingest %s stands could not be kept", job.id)

    def _forget(self) -> None:
        over = [key for key, one in self._jobs.items() if not one.at_work]
        gone = over[: max(0, len(over) - _KEPT)]
        for key in gone:
            del self._jobs[key]
        if gone:
            self._catalog.remove_records(KIND, gone)

    def _work(self, job: Job) -> IngestReport:
        what, stack = job.what, self._stack
        _stop_if_told(job)
        self._check_hidden(job)
        sources: list[Any] = list(what.paths)
        if what.connector is not None:
            sources.append(connector_of(what.connector))
        if what.uploads:
            most = stack.config.ingest.max_bytes
            sources.append(UploadConnector(self.uploads, what.uploads, max_bytes=most))
        by_uri = {upload.uri: upload for upload in what.uploads}

        def progress(step: Step) -> None:
            upload = by_uri.get(step.source)
            if upload is not None and step.kind in ("added", "updated", "unchanged"):
                self.uploads.remember(upload, what.collection, what.readers, what.meta)
            _tell(job, step)
            if step.kind in _BETWEEN:
                self._counted(step.kind)
                _stop_if_told(job)

        with stack.writer:
            return stack.ingest(
                *sources,
                collection=what.collection,
                meta=what.meta,
                readers=what.readers,
                progress=progress,
            )

    def _check_hidden(self, job: Job) -> None:
        """Refuse to write over a document that the caller may not see."""
        if not job.what.uploads or job.caller.may("admin"):
            return
        wanted = {upload.uri for upload in job.what.uploads}
        for info in self._stack.documents(collection=job.what.collection):
            hidden = info.readers and not set(info.readers) & set(job.caller.asker)
            if info.source in wanted and hidden:
                name = info.source.removeprefix("upload:")
                raise HttpError(409, f"the name {name!r} is taken, choose another", code="taken")


def _tell(job: Job, step: Step) -> None:
    if step.kind in _BETWEEN:
        job.done += 1
    job.say(
        "step",
        {
            "kind": step.kind,
            "source": step.source,
            "chunks": step.chunks,
            "reason": step.reason,
            "done": job.done,
            "total": len(job.what.uploads) or None,
        },
    )


def _stop_if_told(job: Job) -> None:
    if job.cancel.is_set():
        raise Cancelled(_STOPPED)
