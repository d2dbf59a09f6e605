"""Ingests in, one after another in a thread of their own; progress out to whoever follows.

A job that is cancelled stops between two documents: each is in the base whole, or not at all.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ragstack.cli.output import report_json
from ragstack.errors import Cancelled, NotFound
from ragstack.pipeline.ingest import Step
from ragstack.types import IngestReport, Scalar
from ragstack_apps.server.caller import Caller
from ragstack_apps.server.errors import HttpError, failure_of
from ragstack_apps.server.served import ServedStack
from ragstack_apps.server.story import Story
from ragstack_apps.server.uploads import Upload, UploadConnector, Uploads

__all__ = ["Ingesting", "Job", "Jobs"]

_KEPT = 100  # jobs that are remembered
_QUEUE = 100
_BETWEEN = frozenset({"added", "updated", "unchanged", "removed", "skipped", "failed"})
_STOPPED = "the ingest was cancelled; what it had taken in is whole"


@dataclass(frozen=True, slots=True)
class Ingesting:
    """What is to be taken in.

    Attributes:
        uploads: Files that were sent.
        sources: Paths, and connectors.
    """

    collection: str = "default"
    uploads: tuple[Upload, ...] = ()
    sources: tuple[Any, ...] = ()
    meta: Mapping[str, Scalar] = field(default_factory=dict)
    readers: tuple[str, ...] = ()


@dataclass
class Job(Story):
    """One ingest."""

    id: str = ""
    caller: Caller = field(default_factory=Caller)
    what: Ingesting = field(default_factory=Ingesting)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    report: dict[str, Any] | None = None
    done: int = 0

    def shown(self) -> dict[str, Any]:
        """Return the job as the interface shows it."""
        with self.changed:
            return {
                "job": self.id,
                "user": self.caller.user,
                "at": self.at.isoformat(),
                "collection": self.what.collection,
                "files": [upload.name for upload in self.what.uploads],
                "state": self.state,
                "done": self.done,
                "total": len(self.what.uploads) or None,
                "report": self.report,
                "steps": [dict(one.data) for one in self.events if one.name == "step"][-200:],
                "error": next((dict(o.data) for o in self.events if o.name == "error"), None),
            }


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
        self.uploads = Uploads(stack.folder / "uploads", stack.parts.catalog)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._closing = False
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
            self._jobs[job.id] = job
            over = [key for key, one in self._jobs.items() if not one.at_work]
            for key in over[: max(0, len(over) - _KEPT)]:
                del self._jobs[key]
            self._queue.put(job)
        return job

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
        """Cancel what runs and what waits, and wait until the base is at rest."""
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
            job.say("state", {"state": "running"}, state="running")
            try:
                report = self._work(job)
                job.report = report_json(report)
                job.say("done", {"report": job.report}, state="done")
            except Exception as error:
                cancelled = isinstance(error, Cancelled)
                failure = failure_of(HttpError(503, _STOPPED) if cancelled else error)
                state = "cancelled" if cancelled else "failed"
                job.say("error", failure.body, state=state)

    def _work(self, job: Job) -> IngestReport:
        what, stack = job.what, self._stack
        _stop_if_told(job)
        self._check_hidden(job)
        sources: list[Any] = list(what.sources)
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
