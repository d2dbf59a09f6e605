"""One ingest in, what is shown of it and the record by which a later server takes it up out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ragstack.types import Record, Scalar
from ragstack_apps.server.caller import Caller
from ragstack_apps.server.story import Story
from ragstack_apps.server.uploads import Upload

__all__ = ["KIND", "Ingesting", "Job"]

KIND = "job"
_STEPS = 200  # that are shown
_LISTED = 200  # of each list in a report that is kept


@dataclass(frozen=True, slots=True)
class Ingesting:
    """What is to be taken in.

    Attributes:
        uploads: Files that were sent.
        paths: Files and folders of the server's machine.
        connector: Its name under ``use``, and its options.
    """

    collection: str = "default"
    uploads: tuple[Upload, ...] = ()
    paths: tuple[str, ...] = ()
    connector: Mapping[str, Any] | None = None
    meta: Mapping[str, Scalar] = field(default_factory=dict)
    readers: tuple[str, ...] = ()


@dataclass
class Job(Story):
    """One ingest.

    Attributes:
        tries: Times it was begun.
        given_up: Somebody cancelled it; else a stop of the server may have.
    """

    id: str = ""
    caller: Caller = field(default_factory=Caller)
    what: Ingesting = field(default_factory=Ingesting)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    report: dict[str, Any] | None = None
    done: int = 0
    tries: int = 0
    given_up: bool = False

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
                "steps": [dict(one.data) for one in self.events if one.name == "step"][-_STEPS:],
                "error": self.failure,
            }

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why it ended early; None where it did not."""
        return next((dict(one.data) for one in self.events if one.name == "error"), None)

    def record(self, state: str = "") -> Record:
        """Return the record that it is kept as, in another state where one is named."""
        what = self.what
        body = {
            "state": state or self.state,
            "collection": what.collection,
            "uploads": [asdict(upload) for upload in what.uploads],
            "paths": list(what.paths),
            "connector": None if what.connector is None else dict(what.connector),
            "meta": dict(what.meta),
            "readers": list(what.readers),
            "caller": {
                "user": self.caller.user,
                "groups": list(self.caller.groups),
                "rights": sorted(self.caller.rights),
                "collections": _listed(self.caller.collections),
                "key_id": self.caller.key_id,
            },
            "tries": self.tries,
            "done": self.done,
            "report": _short(self.report),
            "error": self.failure,
        }
        return Record(KIND, self.id, body, self.at, self.caller.user)

    @classmethod
    def of(cls, record: Record) -> Job:
        """Return the job that a record is of."""
        body: Any = record.body
        who = body["caller"]
        collections = who["collections"]
        caller = Caller(
            who["user"],
            tuple(who["groups"]),
            frozenset(who["rights"]),
            None if collections is None else tuple(collections),
            who["key_id"],
        )
        what = Ingesting(
            body["collection"],
            tuple(Upload(**upload) for upload in body["uploads"]),
            tuple(body["paths"]),
            body["connector"],
            body["meta"],
            tuple(body["readers"]),
        )
        job = cls(
            state=body["state"], id=record.id, caller=caller, what=what, at=record.at,
            report=body["report"], done=body["done"], tries=body["tries"],
        )  # fmt: skip
        if job.state == "done":
            job.say("done", {"report": job.report})
        elif not job.at_work:
            cut = {"error": {"message": f"the ingest was {job.state}", "type": "server_error"}}
            job.say("error", body["error"] or cut)
        return job


def _listed(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)


def _short(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a report whose long lists are cut: of a folder they name every file."""
    if report is None:
        return None
    return {
        name: value[:_LISTED] if isinstance(value, list) else value
        for name, value in report.items()
    }
