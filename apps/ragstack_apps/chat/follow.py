"""The events of a run or a job in, what is known of it so far out. Knows no page.

A thread of its own reads them, so that a page can be drawn again at any moment: the work itself
is on the server, and what this thread has read can always be read again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from ragstack.errors import RagstackError

__all__ = ["Follower", "JobFollower", "Source"]

_ENDS = ("done", "error")
_MOST_TRIES = 3


class Source(Protocol):
    """Where events can be read, from the first or from a later one."""

    def follow(self, *path: str, after: int = 0) -> Iterator[tuple[str, Mapping[str, Any], int]]:
        """Yield events by name, with their numbers, up to the end."""


@dataclass
class _Following:
    """What is followed, as far as it is known.

    Attributes:
        error: Why there will be no result.
        ended: Nothing more will come.
        seen: The number of the last event that was read.
    """

    name: str
    source: Source
    error: str = ""
    ended: bool = False
    seen: int = 0
    kind: ClassVar[str] = ""

    def start(self) -> Self:
        """Begin to read; return at once."""
        name = f"ragstack-follow-{self.name}"
        threading.Thread(target=self._read, name=name, daemon=True).start()
        return self

    def take(self, name: str, data: Mapping[str, Any]) -> None:
        """Learn from one event."""

    def _read(self) -> None:
        tries = 0
        while tries < _MOST_TRIES:
            tries += 1
            try:
                before = self.seen
                self._read_once()
                if self.ended:
                    return
                # A stream without an end was cut; the work itself goes on.
                self.error = "the server ended the stream too early"
                tries = tries if self.seen == before else 0
            except RagstackError as error:
                self.error = error.message
                if not error.retryable:
                    break
        self.ended = True

    def _read_once(self) -> None:
        path = (self.kind, self.name, "events")
        with closing(self.source.follow(*path, after=self.seen)) as events:  # type: ignore[type-var]
            for name, data, number in events:
                self.seen = max(self.seen, number)
                if name == "error":
                    told = data.get("error") or {}
                    self.error = str(told.get("message") or "it failed")
                self.take(name, data)
                if name in _ENDS:
                    self.ended = True
                    return


@dataclass
class Follower(_Following):
    """A run.

    Attributes:
        text: What the model has written, before it was checked.
        answer: The checked answer, once it is there.
    """

    text: str = ""
    reasoning: str = ""
    searched: str = ""
    passages: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    kind: ClassVar[str] = "runs"

    @property
    def failed(self) -> bool:
        """Whether it ended without an answer."""
        return self.ended and self.answer is None

    def take(self, name: str, data: Mapping[str, Any]) -> None:
        """Learn from one event."""
        if name == "token":
            self.text += data.get("text") or ""
            self.reasoning += data.get("reasoning") or ""
        elif name == "retrieval":
            self.searched = data.get("question") or ""
        elif name == "passages":
            self.passages = list(data.get("passages") or ())
        elif name == "done":
            self.answer, self.error = dict(data), ""


@dataclass
class JobFollower(_Following):
    """A job that reads documents.

    Attributes:
        files: What happened last to each source.
        report: What came of it, once it is there.
    """

    done: int = 0
    total: int = 0
    files: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] | None = None
    kind: ClassVar[str] = "ingest"

    def take(self, name: str, data: Mapping[str, Any]) -> None:
        """Learn from one event."""
        if name == "step":
            self.done = int(data.get("done") or self.done)
            self.total = int(data.get("total") or self.total)
            source = str(data.get("source") or "")
            if source:
                self.files.pop(source, None)
                self.files[source] = str(data.get("kind") or "")
        elif name == "done":
            self.report, self.error = dict(data.get("report") or data), ""
