"""What a base remembers of how it was made: names in, values out."""

from __future__ import annotations

import sqlite3

from ragstack.catalog.codec import decode, encode

__all__ = ["forget_setting", "set_setting", "setting"]


def setting(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a setting, or None."""
    found = connection.execute(
        "SELECT value FROM settings WHERE name = ?", (encode(key),)
    ).fetchone()
    return decode(found[0]) if found else None


def set_setting(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Store a setting in place of what it was."""
    connection.execute(
        "INSERT INTO settings (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (encode(key), encode(value)),
    )


def forget_setting(connection: sqlite3.Connection, key: str) -> None:
    """Forget a setting; one that is not there is forgotten already."""
    connection.execute("DELETE FROM settings WHERE name = ?", (encode(key),))
