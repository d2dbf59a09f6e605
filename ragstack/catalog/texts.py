"""A document's text in, any span of it out: text kept once, in blocks of equal length.

A chunk's text is cut from here and not stored again, so it cannot differ from its document's.
Blocks are short enough that a span costs one or two small reads, and are not compressed: with 50
chunks to look up, unpacking costs more than it saves (docs/LOG.md).
"""

from __future__ import annotations

import sqlite3

from ragstack.catalog.codec import decode, encode

__all__ = ["cut", "drop", "store", "whole"]

BLOCK = 1_280  # characters: three to a page of the file
BLOCKS = 1 << 22  # of one document: its keys are document * BLOCKS + 0, 1, 2, …


def store(connection: sqlite3.Connection, document: int, text: str) -> None:
    """Keep the text of a document in place of what was there."""
    drop(connection, document)
    connection.executemany(
        "INSERT INTO texts (key, data) VALUES (?, ?)",
        (
            (document * BLOCKS + number, encode(text[start : start + BLOCK]))
            for number, start in enumerate(range(0, len(text), BLOCK))
        ),
    )


def whole(connection: sqlite3.Connection, document: int) -> str:
    """Return a document's whole text."""
    return _read(connection, document, 0, BLOCKS - 1)


def cut(connection: sqlite3.Connection, document: int, start: int, end: int) -> str:
    """Return ``text[start:end]``."""
    first = start // BLOCK
    text = _read(connection, document, first, max(end - 1, start) // BLOCK)
    return text[start - first * BLOCK : end - first * BLOCK]


def drop(connection: sqlite3.Connection, document: int) -> None:
    """Forget a document's text."""
    connection.execute(
        "DELETE FROM texts WHERE key BETWEEN ? AND ?",
        (document * BLOCKS, document * BLOCKS + BLOCKS - 1),
    )


def _read(connection: sqlite3.Connection, document: int, first: int, last: int) -> str:
    found = connection.execute(
        "SELECT data FROM texts WHERE key BETWEEN ? AND ? ORDER BY key",
        (document * BLOCKS + first, document * BLOCKS + last),
    )
    return "".join(decode(data) for (data,) in found)
