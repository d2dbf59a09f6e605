"""A fresh or older file in, a file of this format out: the tables, as numbered steps.

The number of the last step applied stands in ``PRAGMA user_version``; every step is one
transaction, so a process killed in between finds the file at a whole step.
"""

from __future__ import annotations

import sqlite3

from ragstack.errors import BaseError, BaseVersionError

__all__ = ["FORMAT", "MIGRATIONS", "format_of", "migrate"]

APPLICATION_ID = 0x52414743  # "RAGC", so that `file` and we can tell it from other SQLite files

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE collections (
            key INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,
            position INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0)""",
        """CREATE TABLE documents (
            key INTEGER PRIMARY KEY, collection INTEGER NOT NULL REFERENCES collections (key),
            id BLOB NOT NULL, source BLOB NOT NULL, digest TEXT NOT NULL, origin BLOB NOT NULL,
            meta BLOB NOT NULL, readers BLOB NOT NULL, marks BLOB NOT NULL,
            length INTEGER NOT NULL, chunks INTEGER NOT NULL, UNIQUE (collection, id))""",
        "CREATE INDEX documents_by_source ON documents (collection, source, id)",
        # key: document * BLOCKS + number of the block; see texts.py
        "CREATE TABLE texts (key INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        """CREATE TABLE chunks (
            key INTEGER PRIMARY KEY, collection INTEGER NOT NULL,
            document INTEGER NOT NULL REFERENCES documents (key),
            id BLOB NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
            kind BLOB NOT NULL, context BLOB NOT NULL, meta BLOB NOT NULL, readers BLOB NOT NULL,
            UNIQUE (collection, id))""",
        "CREATE INDEX chunks_by_document ON chunks (document, start)",
        # AUTOINCREMENT: a position that was forgotten is never given again
        """CREATE TABLE journal (
            position INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL,
            chunk_id BLOB NOT NULL, added INTEGER NOT NULL)""",
        "CREATE INDEX journal_by_collection ON journal (collection, position)",
        """CREATE TABLE chats (
            key INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, used INTEGER NOT NULL,
            summary BLOB NOT NULL DEFAULT x'', covers INTEGER NOT NULL DEFAULT 0)""",
        """CREATE TABLE turns (
            key INTEGER PRIMARY KEY, chat INTEGER NOT NULL REFERENCES chats (key) ON DELETE CASCADE,
            question BLOB NOT NULL, answer BLOB NOT NULL, standalone BLOB NOT NULL)""",
        "CREATE INDEX turns_by_chat ON turns (chat, key)",
        "CREATE TABLE settings (name BLOB PRIMARY KEY, value BLOB NOT NULL)",
    ),
    (
        """CREATE TABLE records (
            key INTEGER PRIMARY KEY, kind BLOB NOT NULL, id BLOB NOT NULL, body BLOB NOT NULL,
            at BLOB NOT NULL, owner BLOB NOT NULL, UNIQUE (kind, id))""",
        "CREATE INDEX records_by_time ON records (kind, at)",
        "CREATE INDEX records_by_owner ON records (kind, owner, at)",
    ),
)

FORMAT = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, *, path: str, read_only: bool) -> None:
    """Bring the file to this format, or refuse it.

    Raises:
        BaseVersionError: A newer format; or an older one, when opened for reading alone.
        BaseError: A SQLite file that something else wrote.
    """
    version = format_of(connection, path=path)
    if version == FORMAT:
        return
    if read_only:
        raise BaseVersionError(
            f"the catalog {path!r} has format {version}, this program reads {FORMAT}",
            hint="open it for writing once: it is brought to the new format",
        )
    while version < FORMAT:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been faster while we waited for the lock.
            version = format_of(connection, path=path)
            if version < FORMAT:
                for statement in MIGRATIONS[version]:
                    connection.execute(statement)
                version += 1
                connection.execute(f"PRAGMA user_version = {version}")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def format_of(connection: sqlite3.Connection, *, path: str) -> int:
    """Return the format of a file, 0 for an empty one, having changed nothing.

    Raises:
        BaseVersionError: A newer format.
        BaseError: A SQLite file that something else wrote.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if owner != APPLICATION_ID and (owner or version or tables):
        raise BaseError(
            f"{path!r} is a SQLite file, but not a catalog of ragstack",
            hint="choose another folder with --base",
        )
    if version > FORMAT:
        raise BaseVersionError(
            f"the catalog {path!r} has format {version}, this program knows up to {FORMAT}",
            hint="upgrade: pip install --upgrade ragstack",
        )
    return version
