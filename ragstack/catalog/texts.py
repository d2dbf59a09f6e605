"""A document's text in, any span of it out: text kept once, in blocks of equal length.

A chunk's text is cut from here and not stored again, so it cannot differ from its document's.
Blocks are short enough that a span costs one or two small reads, and are not compressed: with 50
chunks to look up, unpacking costs more than it saves (docs/LOG.md).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ragstack.catalog.codec import decode, encode

__all__ = ["cut", "drop", "store", "whole"]

BLOCK = 1_280  # characters: three to a page of the file
BLOCKS = 1 << 22  # of one document: its keys are document * BLOCKS + 0, 1, 2, …
_AT_ONCE = 500  # parameters of one statement


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
    found = connection.execute(
        "SELECT data FROM texts WHERE key BETWEEN ? AND ? ORDER BY key",
        (document * BLOCKS, document * BLOCKS + BLOCKS - 1),
    )
    return "".join(decode(data) for (data,) in found)


def cut(connection: sqlite3.Connection, spans: Sequence[tuple[int, int, int]]) -> list[str]:
    """Return ``text[start:end]`` for each (document, start, end): all of them in one look-up."""
    blocks = [_blocks(*span) for span in spans]
    wanted = sorted({key for keys in blocks for key in keys})
    held: dict[int, str] = {}
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        marks = ",".join("?" * len(some))
        found = connection.execute(f"SELECT key, data FROM texts WHERE key IN ({marks})", some)
        held.update((key, decode(data)) for key, data in found)
    texts = []
    for (_, start, end), keys in zip(spans, blocks, strict=True):
        text = "".join(held.get(key, "") for key in keys)
        skipped = start // BLOCK * BLOCK
        texts.append(text[start - skipped : end - skipped])
    return texts


def drop(connection: sqlite3.Connection, document: int) -> None:
    """Forget a document's text."""
    connection.execute(
        "DELETE FROM texts WHERE key BETWEEN ? AND ?",
        (document * BLOCKS, document * BLOCKS + BLOCKS - 1),
    )


def _blocks(document: int, start: int, end: int) -> range:
    """Return the keys of the blocks that a span touches."""
    first, last = start // BLOCK, max(end - 1, start) // BLOCK
    return range(document * BLOCKS + first, document * BLOCKS + last + 1)
