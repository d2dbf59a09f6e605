"""Collections as wholes: their names in, the same under other names or not at all out.

A name that begins with ``~`` is hidden: work under way that nobody has been shown yet, or what is
no longer shown and waits to be deleted. Functions over an open transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from ragstack.catalog import documents
from ragstack.catalog.codec import decode, encode
from ragstack.errors import InputError, NotFound

__all__ = ["forget_collection", "names", "rename"]

_HIDDEN = b"~"


def names(connection: sqlite3.Connection, *, hidden: bool) -> list[str]:
    """Return the collections that hold a document, sorted; those that are hidden, or the others.

    A hidden one is there as soon as it was written to, with or without a document.
    """
    found = connection.execute(
        "SELECT name FROM collections c WHERE (substr(name, 1, 1) = ?) = ?"
        " AND (? OR EXISTS (SELECT 1 FROM documents WHERE collection = c.key)) ORDER BY name",
        (_HIDDEN, hidden, hidden),
    )
    return [decode(name) for (name,) in found]


def rename(connection: sqlite3.Connection, changes: Mapping[str, str]) -> None:
    """Give collections other names, in this order, so that two can change places.

    Raises:
        NotFound: No collection has the first name.
        InputError: Another one has the second name, and holds documents.
    """
    for old, new in changes.items():
        if not new:
            raise InputError("a collection needs a name that is not empty")
        key = _key(connection, old)
        if key is None:
            raise NotFound(f"there is no collection {old!r}")
        taken = _key(connection, new)
        if taken is not None and taken != key:
            if documents.counts(connection, collection=new)[0]:
                raise InputError(f"there is a collection {new!r} already", hint="delete it first")
            forget_collection(connection, new)
        connection.execute("UPDATE collections SET name = ? WHERE key = ?", (encode(new), key))


def forget_collection(connection: sqlite3.Connection, name: str) -> None:
    """Forget a collection that holds no document any more, and its journal."""
    key = _key(connection, name)
    if key is not None:
        connection.execute("DELETE FROM journal WHERE collection = ?", (key,))
        connection.execute("DELETE FROM collections WHERE key = ?", (key,))


def _key(connection: sqlite3.Connection, name: str) -> int | None:
    found = connection.execute(
        "SELECT key FROM collections WHERE name = ?", (encode(name),)
    ).fetchone()
    return int(found[0]) if found else None
