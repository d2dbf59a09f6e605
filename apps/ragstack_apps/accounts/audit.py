"""Who did what, when, and how it went, kept in records. Never what was asked or answered."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ragstack.errors import RagstackError
from ragstack.protocols import Records
from ragstack.types import Record
from ragstack_apps.accounts.periods import Clock, now

__all__ = ["KIND", "Audit", "Deed"]

KIND = "audit"
_logger = logging.getLogger(__name__)

_WAITING = 10_000
_LONGEST = 200  # characters of what a client has sent


@dataclass(frozen=True, slots=True)
class Deed:
    """One line of the log.

    Attributes:
        what: ``login``, ``key.add``, or a route: ``POST /api/ask``.
        who: The user's name; empty where none is known.
        outcome: ``ok``, ``refused``, or an HTTP status.
        target: Upon what: a user's name, a key's id; never contents.
        key_id: Of the API key they came with.
        address: Of the client's machine.
    """

    what: str
    who: str = ""
    outcome: str = "ok"
    target: str = ""
    key_id: str = ""
    address: str = ""


class Audit:
    """The log. Lines are written behind the requests, in their order; ``close`` writes the last."""

    def __init__(self, records: Records, *, clock: Clock = now) -> None:
        self._records = records
        self._clock = clock
        self._waiting: queue.Queue[tuple[Deed, datetime] | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._closed = False

    def note(self, deed: Deed) -> None:
        """Log something soon. It waits where ten thousand lines are waiting already."""
        with self._guard:
            late = self._closed
            if self._thread is None and not late:
                self._thread = threading.Thread(
                    target=self._write_all, name="ragstack-audit", daemon=True
                )
                self._thread.start()
        if late:
            self.write(deed)
        else:
            self._waiting.put((deed, self._clock()))

    def write(self, deed: Deed, at: datetime | None = None) -> None:
        """Log something now: what changes who may do what is in the log when it is answered."""
        at = at or self._clock()
        body = {
            "what": _plain(deed.what),
            "outcome": _plain(deed.outcome),
            "target": _plain(deed.target),
            "key": deed.key_id,
            "address": _plain(deed.address),
        }
        # Ordered by time; the random end keeps two of one moment apart.
        name = f"{at.timestamp():017.6f}-{secrets.token_hex(4)}"
        self._records.put_record(Record(KIND, name, body, at, _plain(deed.who)))

    def lines(
        self, *, who: str | None = None, before: datetime | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return lines, the latest first."""
        return [
            {"at": each.at.isoformat(), "who": each.owner, **each.body}
            for each in self._records.records(KIND, owner=who, before=before, limit=limit)
        ]

    def flush(self) -> None:
        """Wait until all that was noted is written."""
        self._waiting.join()

    def close(self) -> None:
        """Write what is waiting. What is noted later is written at once."""
        with self._guard:
            self._closed, thread = True, self._thread
        if thread is not None and thread.is_alive():
            self._waiting.put(None)
            thread.join()

    def _write_all(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            try:
                self.write(*waiting)
            except RagstackError:
                # The log must not take the server down; its own loss is told where one looks.
                _logger.exception("a line of the audit log was lost: %r", waiting[0].what)
            finally:
                self._waiting.task_done()
        self._waiting.task_done()


def _plain(text: str) -> str:
    """Return a text that breaks no line and no terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:_LONGEST])
