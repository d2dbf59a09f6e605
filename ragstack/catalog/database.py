"""A path in, transactions out: connections to one SQLite file, shared by many threads.

Crash safety: WAL with ``synchronous=NORMAL``. A process killed at any moment loses no committed
transaction; a power failure may lose the last ones, but never leaves the file inconsistent.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ragstack.catalog.schema import format_of, migrate
from ragstack.errors import BaseError, BaseLocked, DiskFull, InputError

__all__ = ["Database", "refuse_text"]

BUSY_TIMEOUT_MS = 30_000

_CORRUPT = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_BUSY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})


class Database:
    """Transactions on one file. Readers never wait; writers wait for one another."""

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = str(path)
        self.read_only = read_only
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        with self.translated():
            connection = self._connect()
            try:
                format_of(
                    connection, path=self.path
                )  # before the first write: it may be no catalog
                if not read_only:
                    connection.execute("PRAGMA journal_mode = WAL")
                migrate(connection, path=self.path, read_only=read_only)
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one consistent state, as it is now."""
        with self.translated(), self._borrowed() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                _end(connection, "ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose changes are kept together when the block ends, or not at all."""
        if self.read_only:
            raise BaseError(
                f"the catalog {self.path!r} was opened for reading", hint="open it for writing"
            )
        with self.translated(), self._writing, self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                _end(connection, "ROLLBACK")
                raise

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Give a connection without a transaction, while no thread of this object writes."""
        if self.read_only:
            raise BaseError(f"the catalog {self.path!r} was opened for reading")
        with self.translated(), self._writing, self._borrowed() as connection:
            yield connection

    def backup(self, target: str) -> None:
        """Write a consistent copy to a new file; writers go on meanwhile."""
        final = Path(target)
        part = final.with_name(final.name + ".part")
        if final.exists():
            raise InputError(f"{target!r} is there already", hint="name a new file for the backup")
        with self.translated(), self._borrowed() as connection:
            try:
                copy = sqlite3.connect(part)
                try:
                    connection.backup(copy)
                finally:
                    copy.close()
                os.link(part, final)  # unlike a rename, it does not replace what came meanwhile
            except OSError as error:
                raise BaseError(f"no backup could be written to {target!r}: {error}") from error
            finally:
                part.unlink(missing_ok=True)

    def close(self) -> None:
        """Close every connection. A second call does nothing."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def _translate(self, error: sqlite3.Error) -> BaseError:
        name = getattr(error, "sqlite_errorname", "") or ""
        kind = "_".join(name.split("_")[:2])
        if kind in _BUSY:
            return BaseLocked(
                f"another process has been writing to {self.path!r} for "
                f"{BUSY_TIMEOUT_MS // 1000} seconds",
                hint="wait until it is done, then try again",
            )
        if kind in _CORRUPT:
            return BaseError(
                f"{self.path!r} is damaged or is not a catalog: {error}",
                hint="restore a backup with `ragstack restore`, or ingest into a new base",
            )
        if kind == "SQLITE_FULL":
            return DiskFull(f"no space is left for the catalog {self.path!r}")
        if kind == "SQLITE_CANTOPEN":
            return BaseError(f"the catalog {self.path!r} cannot be opened: {error}")
        return BaseError(f"the catalog {self.path!r} could not do it: {error}")

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            if self._closed:
                raise BaseError(f"the catalog {self.path!r} is closed")
            idle = self._idle.pop() if self._idle else None
        connection = idle or self._connect()
        try:
            yield connection
        finally:
            with self._guard:
                keep = not self._closed
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._address(),
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA temp_store = MEMORY")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _address(self) -> str:
        path = Path(self.path).absolute()
        address = "file:" + quote(os.fsencode(path))
        if not self.read_only:
            return address + "?mode=rwc"
        # A base on a read-only medium has nowhere to put the WAL's index; nobody writes there.
        fixed = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
        return address + ("?mode=ro&immutable=1" if fixed else "?mode=ro")


def refuse_text(values: object, what: str) -> None:
    """Refuse a lone string where a sequence of strings is expected."""
    if isinstance(values, str):
        raise InputError(f"{what} is a sequence of strings, got the text {values!r}")


def _end(connection: sqlite3.Connection, word: str) -> None:
    if connection.in_transaction:
        connection.execute(word)
