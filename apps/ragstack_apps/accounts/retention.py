"""Periods in, everything older gone: runs, chats, uploads, the audit log, ended sessions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from ragstack.errors import RagstackError
from ragstack.protocols import Catalog
from ragstack_apps.accounts import audit, sessions
from ragstack_apps.accounts.periods import Clock, now, past
from ragstack_apps.accounts.settings import RetainSettings

__all__ = ["Sweeper", "sweep"]

_logger = logging.getLogger(__name__)

UPLOADS = "uploads"
LOGIN = "login"  # single sign-ons that were begun, and codes that were not fetched
_DAY_S = 86_400.0
_AT_ONCE = 500
_CHAT_RIGHTS = "chat.rights:"


def sweep(
    catalog: Catalog, folder: Path, retain: RetainSettings, *, clock: Clock = now
) -> dict[str, int]:
    """Forget what is older than its period; return how many of each that were.

    Documents are never touched. An upload that is gone can no longer be shown as it was; what was
    read from it stays. A chat of which no time is known, led on the command line, stays.

    Args:
        folder: The base's.
    """
    gone = {
        "runs": _forget(catalog, "run", _since(retain.runs_days, clock)),
        "audit": _forget(catalog, audit.KIND, _since(retain.audit_days, clock)),
        "chats": _forget_chats(catalog, _since(retain.chats_days, clock)),
        "uploads": _forget_uploads(catalog, folder, _since(retain.uploads_days, clock)),
    }
    for kind in (sessions.KIND, LOGIN):
        ended = [
            each.id
            for each in catalog.records(kind, limit=100_000)
            if past(each.body.get("expires"), clock)
        ]
        gone[f"{kind}s"] = catalog.remove_records(kind, ended) if ended else 0
    return gone


def _since(days: float, clock: Clock) -> datetime | None:
    return clock() - timedelta(days=days) if days else None


def _old(catalog: Catalog, kind: str, before: datetime) -> Sequence[str]:
    return [each.id for each in catalog.records(kind, before=before, limit=_AT_ONCE)]


def _forget(catalog: Catalog, kind: str, before: datetime | None) -> int:
    count = 0
    # In small steps, so that others can write between two of them.
    while before is not None and (ids := _old(catalog, kind, before)):
        count += catalog.remove_records(kind, ids)
    return count


def _forget_chats(catalog: Catalog, before: datetime | None) -> int:
    count = 0
    while before is not None and (ids := _old(catalog, "chat_info", before)):
        for chat_id in ids:
            catalog.delete_chat(chat_id)
            catalog.set_setting(_CHAT_RIGHTS + chat_id, None)
        count += catalog.remove_records("chat_info", ids)
    return count


def _forget_uploads(catalog: Catalog, folder: Path, before: datetime | None) -> int:
    if before is None:
        return 0
    _forget(catalog, "upload", before)
    count = 0
    for path in sorted((folder / UPLOADS).glob("*")):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < before.timestamp():
                path.unlink()
                count += 1
    return count


class Sweeper:
    """Sweeps once when started, and then every day, in a thread of its own."""

    def __init__(
        self, catalog: Catalog, folder: Path, retain: RetainSettings, *, every_s: float = _DAY_S
    ) -> None:
        self._catalog = catalog
        self._folder = folder
        self._retain = retain
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ragstack-sweep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a sweep that is under way comes to its end first. A second call does nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                gone = sweep(self._catalog, self._folder, self._retain)
                _logger.info("swept: %s", gone)
            except (RagstackError, OSError):
                _logger.exception("a sweep failed; the next one is in %g s", self._every_s)
            self._stop.wait(self._every_s)
