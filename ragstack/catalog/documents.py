"""Documents and chunks in, by id out, each change written to the journal beside it.

Functions over an open transaction; they know nothing of connections and threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from ragstack.catalog import journal, texts
from ragstack.catalog.codec import (
    decode,
    decode_marks,
    decode_meta,
    decode_readers,
    encode,
    encode_marks,
    encode_meta,
    encode_readers,
)
from ragstack.errors import InputError
from ragstack.types import Chunk, Document, DocumentInfo

__all__ = [
    "chunks",
    "chunks_of",
    "counts",
    "document",
    "page",
    "put",
    "remove",
    "sources",
]

# SQLite's own name for the index of UNIQUE (collection, id). Left to itself, it prefers that by
# source, which covers the columns, and walks through the whole collection.
_BY_ID = "sqlite_autoindex_documents_1"
_AT_ONCE = 500  # parameters of one statement
_VERSION_DIGITS = 8  # as in Document.version

Row = tuple[int, int, bytes, bytes, bytes, bytes]  # start, end, kind, context, meta, readers

_CHUNK = "c.id, c.start, c.end, c.kind, c.context, c.meta, c.readers, d.id, d.digest, d.key"
_INFO = "d.id, d.source, d.digest, d.origin, d.meta, d.readers, d.length, d.chunks"


def put(
    connection: sqlite3.Connection,
    document: Document,
    found: Sequence[Chunk],
    *,
    collection: str,
    origin: str,
) -> None:
    """Store a document and its chunks in place of what was there under its id."""
    rows = _checked(document, found)
    place = _collection(connection, collection)
    digest = document.digest
    before = connection.execute(
        "SELECT key, digest FROM documents WHERE collection = ? AND id = ?",
        (place, encode(document.id)),
    ).fetchone()
    same = before is not None and before[1] == digest
    key = _write_document(connection, place, document, (digest, origin, len(rows)))
    if not same:
        texts.store(connection, key, document.text)
    held = _held(connection, key)
    gone = [chunk_id for chunk_id in held if chunk_id not in rows]
    # Ids carry 8 digits of the digest; were two texts ever to agree in them, the index must know.
    came = [chunk_id for chunk_id, row in rows.items() if not same or held.get(chunk_id) != row]
    connection.executemany(
        "DELETE FROM chunks WHERE collection = ? AND id = ?", [(place, x) for x in gone]
    )
    connection.executemany(
        "INSERT INTO chunks (collection, document, id, start, end, kind, context, meta, readers)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (collection, id) DO UPDATE SET"
        " context = excluded.context, meta = excluded.meta, readers = excluded.readers"
        " WHERE document = excluded.document",
        [(place, key, chunk_id, *rows[chunk_id]) for chunk_id in came],
    )
    journal.record(connection, place, gone=gone, came=came)


def remove(connection: sqlite3.Connection, document_ids: Sequence[str], *, collection: str) -> int:
    """Remove documents and their chunks; return how many were there."""
    count = 0
    for document_id in dict.fromkeys(document_ids):
        found = connection.execute(
            f"SELECT key, collection FROM documents INDEXED BY {_BY_ID}"
            " WHERE collection = (SELECT key FROM collections WHERE name = ?) AND id = ?",
            (encode(collection), encode(document_id)),
        ).fetchone()
        if found is None:
            continue
        key, place = found
        gone = list(_held(connection, key))
        connection.execute("DELETE FROM chunks WHERE document = ?", (key,))
        texts.drop(connection, key)
        connection.execute("DELETE FROM documents WHERE key = ?", (key,))
        journal.record(connection, place, gone=gone, came=())
        count += 1
    return count


def document(
    connection: sqlite3.Connection, document_id: str, *, collection: str
) -> Document | None:
    """Return a document, text and marks too, or None."""
    found = connection.execute(
        "SELECT d.key, d.source, d.meta, d.marks, d.readers FROM documents d"
        " JOIN collections c ON c.key = d.collection WHERE c.name = ? AND d.id = ?",
        (encode(collection), encode(document_id)),
    ).fetchone()
    if found is None:
        return None
    key, source, meta, marks, readers = found
    return Document(
        document_id,
        texts.whole(connection, key),
        decode(source),
        decode_meta(meta),
        decode_marks(marks),
        decode_readers(readers),
    )


def page(
    connection: sqlite3.Connection, *, collection: str, after: tuple[str, str], limit: int
) -> list[DocumentInfo]:
    """Return what is known of the next documents after a source and id, in that order."""
    found = connection.execute(
        f"SELECT {_INFO} FROM documents d JOIN collections c ON c.key = d.collection"
        " WHERE c.name = ? AND (d.source, d.id) > (?, ?) ORDER BY d.source, d.id LIMIT ?",
        (encode(collection), encode(after[0]), encode(after[1]), limit),
    )
    return [
        DocumentInfo(
            decode(document_id),
            decode(source),
            digest,
            decode(origin),
            decode_meta(meta),
            decode_readers(readers),
            length,
            count,
        )
        for document_id, source, digest, origin, meta, readers, length, count in found
    ]


def chunks(
    connection: sqlite3.Connection, chunk_ids: Sequence[str], *, collection: str
) -> dict[str, Chunk]:
    """Return the chunks that are there, by id, in the order asked for."""
    found: dict[str, Chunk] = {}
    for ids in _slices(chunk_ids):
        rows = connection.execute(
            f"SELECT {_CHUNK} FROM chunks c JOIN documents d ON d.key = c.document"
            " WHERE c.collection = (SELECT key FROM collections WHERE name = ?)"
            f" AND c.id IN ({_marks(ids)})",
            (encode(collection), *ids),
        ).fetchall()
        cut = texts.cut(connection, [(row[-1], row[1], row[2]) for row in rows])
        found.update(
            (decode(row[0]), _chunk(row, text)) for row, text in zip(rows, cut, strict=True)
        )
    return {chunk_id: found[chunk_id] for chunk_id in chunk_ids if chunk_id in found}


def chunks_of(connection: sqlite3.Connection, document_id: str, *, collection: str) -> list[Chunk]:
    """Return a document's chunks, by start."""
    rows = connection.execute(
        f"SELECT {_CHUNK} FROM collections o JOIN documents d ON d.collection = o.key"
        " JOIN chunks c ON c.document = d.key WHERE o.name = ? AND d.id = ?"
        " ORDER BY c.start, c.end, c.kind",
        (encode(collection), encode(document_id)),
    ).fetchall()
    if not rows:
        return []
    text = texts.whole(connection, rows[0][-1])
    return [_chunk(row, text[row[1] : row[2]]) for row in rows]


def sources(
    connection: sqlite3.Connection, document_ids: Sequence[str], *, collection: str
) -> dict[str, str]:
    """Return the address of each document that is there, by id."""
    found: dict[str, str] = {}
    for ids in _slices(document_ids):
        rows = connection.execute(
            f"SELECT id, source FROM documents INDEXED BY {_BY_ID}"
            " WHERE collection = (SELECT key FROM collections WHERE name = ?)"
            f" AND id IN ({_marks(ids)})",
            (encode(collection), *ids),
        )
        found.update((decode(document_id), decode(source)) for document_id, source in rows)
    return {document_id: found[document_id] for document_id in document_ids if document_id in found}


def counts(connection: sqlite3.Connection, *, collection: str) -> tuple[int, int]:
    """Return how many documents and how many chunks a collection has."""
    found = connection.execute(
        "SELECT count(*), coalesce(sum(chunks), 0) FROM documents"
        " WHERE collection = (SELECT key FROM collections WHERE name = ?)",
        (encode(collection),),
    ).fetchone()
    return int(found[0]), int(found[1])


def _checked(document: Document, found: Sequence[Chunk]) -> Mapping[bytes, Row]:
    """Return the chunks as rows by id, or refuse those that are not this document's."""
    version = document.version
    rows: dict[bytes, Row] = {}
    for chunk in found:
        if chunk.document_id != document.id or chunk.version != version:
            raise InputError(
                f"the chunk {chunk.id!r} is not of the document {document.id!r}, "
                f"version {version!r}"
            )
        if not 0 <= chunk.start <= chunk.end or document.text[chunk.start : chunk.end] != (
            chunk.text
        ):
            raise InputError(
                f"the text of the chunk {chunk.id!r} is not what its document holds there: "
                "text == document.text[start:end], always"
            )
        key = encode(chunk.id)
        if key in rows:
            raise InputError(f"two chunks have the id {chunk.id!r}")
        rows[key] = (
            chunk.start,
            chunk.end,
            encode(chunk.kind),
            encode(chunk.context),
            encode_meta(chunk.meta),
            encode_readers(chunk.readers),
        )
    return rows


def _collection(connection: sqlite3.Connection, name: str) -> int:
    if not name:
        raise InputError("a collection needs a name that is not empty")
    key = encode(name)
    connection.execute("INSERT OR IGNORE INTO collections (name) VALUES (?)", (key,))
    found = connection.execute("SELECT key FROM collections WHERE name = ?", (key,)).fetchone()
    return int(found[0])


def _write_document(
    connection: sqlite3.Connection, place: int, document: Document, made: tuple[str, str, int]
) -> int:
    digest, origin, count = made
    found = connection.execute(
        "INSERT INTO documents"
        " (collection, id, source, digest, origin, meta, readers, marks, length, chunks)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (collection, id) DO UPDATE SET"
        " source = excluded.source, digest = excluded.digest, origin = excluded.origin,"
        " meta = excluded.meta, readers = excluded.readers, marks = excluded.marks,"
        " length = excluded.length, chunks = excluded.chunks RETURNING key",
        (
            place,
            encode(document.id),
            encode(document.source),
            digest,
            encode(origin),
            encode_meta(document.meta),
            encode_readers(document.readers),
            encode_marks(document.marks),
            len(document.text),
            count,
        ),
    ).fetchall()
    return int(found[0][0])


def _held(connection: sqlite3.Connection, key: int) -> dict[bytes, Row]:
    found = connection.execute(
        "SELECT id, start, end, kind, context, meta, readers FROM chunks WHERE document = ?",
        (key,),
    )
    return {row[0]: row[1:] for row in found}


def _chunk(
    row: tuple[bytes, int, int, bytes, bytes, bytes, bytes, bytes, str, int], text: str
) -> Chunk:
    _, start, end, kind, context, meta, readers, document_id, digest, _ = row
    return Chunk(
        decode(document_id),
        digest[:_VERSION_DIGITS],
        start,
        end,
        text,
        decode(context),
        decode(kind),
        decode_meta(meta),
        decode_readers(readers),
    )


def _slices(ids: Sequence[str]) -> Iterator[list[bytes]]:
    wanted = [encode(each) for each in dict.fromkeys(ids)]
    for start in range(0, len(wanted), _AT_ONCE):
        yield wanted[start : start + _AT_ONCE]


def _marks(ids: Sequence[bytes]) -> str:
    return ",".join("?" * len(ids))
