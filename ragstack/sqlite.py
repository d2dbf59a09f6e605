"""A path in, an open SQLite file out, in WAL mode: readers go on while one process writes.

Knows no tables: what a file holds is the caller's, and so is what an error means. The catalog opens
its file by itself: it may be given to read alone, and must not change what is no catalog.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

__all__ = ["open_wal"]


def open_wal(
    path: str | os.PathLike[str],
    prepare: Callable[[sqlite3.Connection], object],
    *,
    busy_s: float,
    autocommit: bool = False,
    shared: bool = True,
) -> sqlite3.Connection:
    """Return a connection to a file, which is made where there is none.

    Args:
        prepare: Given the connection, makes the tables and settings. If it fails, the connection is
            closed.
        busy_s: Seconds to wait for another connection that writes.
        autocommit: A transaction begins with a ``BEGIN`` of the caller's. Else it begins by itself
            before the first change.
        shared: Other threads may use the connection too, one at a time.

    Raises:
        sqlite3.OperationalError: The file cannot be opened, or another held it for ``busy_s``.
        sqlite3.DatabaseError: It is no database, or a damaged one.
    """
    connection = sqlite3.connect(
        path,
        timeout=busy_s,
        isolation_level=None if autocommit else "DEFERRED",
        check_same_thread=not shared,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection
