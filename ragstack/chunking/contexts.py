"""A text's key in, the line of context that was written for it out: kept in a SQLite file.

Each line is written as it comes, so that a run which is broken off goes on where it was. The file
can be deleted at any time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from hashlib import sha256
from pathlib import Path

from ragstack.sqlite import open_wal

__all__ = ["ContextCache", "key_of"]

_logger = logging.getLogger(__name__)

_SCHEMA = "CREATE TABLE IF NOT EXISTS contexts (key BLOB PRIMARY KEY, line TEXT NOT NULL)"
_BUSY_S = 30.0


def key_of(*parts: str) -> bytes:
    """Return one key for several texts, none of which can run into the next."""
    state = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()


class ContextCache:
    """Lines by key. A file that cannot be used is a warning in the log, and lines are not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None

    def get(self, key: bytes) -> str | None:
        """Return a line, or None."""
        with self._lock:
            try:
                row = self._opened().execute("SELECT line FROM contexts WHERE key = ?", (key,))
                found = row.fetchone()
            except (sqlite3.Error, OSError) as error:
                self._warn(error)
                return None
        return None if found is None else str(found[0])

    def put(self, key: bytes, line: str) -> None:
        """Keep a line."""
        with self._lock:
            try:
                with self._opened() as file:
                    file.execute("INSERT OR REPLACE INTO contexts VALUES (?, ?)", (key, line))
            except (sqlite3.Error, OSError) as error:
                self._warn(error)

    def close(self) -> None:
        """Close the file; it is opened again if it is needed again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _warn(self, error: Exception) -> None:
        _logger.warning("the cache of contexts %s cannot be used: %s", self._path, error)

    def _opened(self) -> sqlite3.Connection:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open_wal(self._path, _prepare, busy_s=_BUSY_S)
        return self._file


def _prepare(file: sqlite3.Connection) -> None:
    file.execute(_SCHEMA)
    file.commit()
