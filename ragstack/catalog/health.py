"""A catalog's file in, what is wrong with it out; and the same file without its holes."""

from __future__ import annotations

import sqlite3

from ragstack.catalog.codec import decode

__all__ = ["compact", "problems"]

_FIRST = 20  # problems named one by one


def problems(connection: sqlite3.Connection) -> list[str]:
    """Return what does not hold together: SQLite's own check, then what no index can see."""
    found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_FIRST})")]
    found = [] if found == ["ok"] else found
    counts = connection.execute(
        "SELECT d.id, d.chunks, count(c.key), coalesce(max(c.end), 0), d.length FROM documents d"
        " LEFT JOIN chunks c ON c.document = d.key GROUP BY d.key"
        " HAVING d.chunks != count(c.key) OR coalesce(max(c.end), 0) > d.length"
    )
    for document_id, said, held, end, length in counts.fetchmany(_FIRST):
        name = decode(document_id)
        if said != held:
            found.append(f"the document {name!r} has {held} chunks and counts {said}")
        if end > length:
            found.append(f"a chunk of {name!r} ends at {end}, the document at {length}")
    strays = connection.execute(
        "SELECT count(*) FROM chunks WHERE document NOT IN (SELECT key FROM documents)"
    ).fetchone()[0]
    if strays:
        found.append(f"{strays} chunks are of no document")
    return found


def compact(connection: sqlite3.Connection) -> None:
    """Write the file anew without what was deleted; outside of any transaction."""
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
