"""Changes of chunks in, the same changes in order out, so that indexes catch up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ragstack.catalog.codec import decode
from ragstack.types import Change

__all__ = ["changes", "floor", "forget", "position", "record"]


def record(
    connection: sqlite3.Connection, collection: int, *, gone: Iterable[bytes], came: Iterable[bytes]
) -> None:
    """Write down which chunks of a collection went and which came, in this order."""
    rows = [(collection, chunk_id, 0) for chunk_id in gone]
    rows += [(collection, chunk_id, 1) for chunk_id in came]
    if not rows:
        return
    connection.executemany(
        "INSERT INTO journal (collection, chunk_id, added) VALUES (?, ?, ?)", rows
    )
    connection.execute(
        "UPDATE collections SET position ="
        " (SELECT max(position) FROM journal WHERE collection = key) WHERE key = ?",
        (collection,),
    )


def position(connection: sqlite3.Connection, name: bytes) -> int:
    """Return the position of a collection's last change, forgotten ones too."""
    return _number(connection, "SELECT position FROM collections WHERE name = ?", name)


def floor(connection: sqlite3.Connection, name: bytes) -> int:
    """Return how far a collection's journal was forgotten."""
    return _number(connection, "SELECT floor FROM collections WHERE name = ?", name)


def changes(connection: sqlite3.Connection, name: bytes, *, after: int, limit: int) -> list[Change]:
    """Return a collection's next changes after a position."""
    found = connection.execute(
        "SELECT j.position, j.chunk_id, j.added FROM collections c"
        " JOIN journal j ON j.collection = c.key"
        " WHERE c.name = ? AND j.position > ? ORDER BY j.position LIMIT ?",
        (name, after, limit),
    )
    return [Change(place, decode(chunk_id), bool(added)) for place, chunk_id, added in found]


def forget(connection: sqlite3.Connection, name: bytes, *, upto: int) -> None:
    """Drop a collection's changes up to a position, and remember that they are gone."""
    connection.execute(
        "DELETE FROM journal WHERE position <= ?"
        " AND collection = (SELECT key FROM collections WHERE name = ?)",
        (upto, name),
    )
    connection.execute(
        "UPDATE collections SET floor = max(floor, min(?, position)) WHERE name = ?", (upto, name)
    )


def _number(connection: sqlite3.Connection, query: str, name: bytes) -> int:
    found = connection.execute(query, (name,)).fetchone()
    return int(found[0]) if found else 0
