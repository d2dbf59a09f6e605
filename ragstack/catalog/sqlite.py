"""The catalog in one SQLite file: each method one transaction over the functions beside it.

Crash safety: a process killed at any moment (kill -9) loses no committed change. After a power
failure the last changes may be missing, the file is still consistent (WAL, ``synchronous=NORMAL``).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ragstack.catalog import (
    collections,
    conversations,
    documents,
    health,
    journal,
    records,
    settings,
)
from ragstack.catalog.codec import encode
from ragstack.catalog.database import Database, refuse_text
from ragstack.errors import InputError
from ragstack.types import Change, Chunk, Document, DocumentInfo, Record, Turn

__all__ = ["SqliteCatalog"]

_PAGE = 500  # documents looked up at once while iterating


class SqliteCatalog:
    """Implements ``protocols.Catalog``. Readers, in other processes too, see what is committed.

    Raises:
        BaseVersionError: The file has a newer format.
        BaseError: The file is damaged, or not a catalog.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self._database = Database(path, read_only=read_only)

    def put(
        self, document: Document, chunks: Sequence[Chunk], *, collection: str, origin: str
    ) -> None:
        """Store the document and its chunks in place of what was there under its id.

        A chunk that stays as it is (id, context, metadata, readers) leaves no line in the journal.

        Raises:
            InputError: A chunk that is not a span of the document; metadata that are no scalars.
        """
        with self._database.writing() as connection:
            documents.put(connection, document, chunks, collection=collection, origin=origin)

    def remove(self, document_ids: Sequence[str], *, collection: str) -> int:
        """Remove the documents and their chunks; return how many were there."""
        refuse_text(document_ids, "document_ids")
        if not document_ids:
            return 0
        with self._database.writing() as connection:
            return documents.remove(connection, document_ids, collection=collection)

    def document(self, document_id: str, *, collection: str) -> Document | None:
        """Return the document, text and marks too."""
        with self._database.reading() as connection:
            return documents.document(connection, document_id, collection=collection)

    def documents(self, *, collection: str) -> Iterator[DocumentInfo]:
        """Yield what is known of each document, by source.

        No transaction stays open between two of them, so the caller may write meanwhile.
        """
        after = ("", "")
        while True:
            with self._database.reading() as connection:
                found = documents.page(connection, collection=collection, after=after, limit=_PAGE)
            yield from found
            if len(found) < _PAGE:
                return
            after = (found[-1].source, found[-1].id)

    def chunks(self, chunk_ids: Sequence[str], *, collection: str) -> dict[str, Chunk]:
        """Return the chunks that are there, by id, in the order asked for."""
        refuse_text(chunk_ids, "chunk_ids")
        with self._database.reading() as connection:
            return documents.chunks(connection, chunk_ids, collection=collection)

    def chunks_of(self, document_id: str, *, collection: str) -> list[Chunk]:
        """Return a document's chunks, by start."""
        with self._database.reading() as connection:
            return documents.chunks_of(connection, document_id, collection=collection)

    def sources(self, document_ids: Sequence[str], *, collection: str) -> dict[str, str]:
        """Return the address of each document that is there, by id."""
        refuse_text(document_ids, "document_ids")
        with self._database.reading() as connection:
            return documents.sources(connection, document_ids, collection=collection)

    def counts(self, *, collection: str) -> tuple[int, int]:
        """Return how many documents and how many chunks there are."""
        with self._database.reading() as connection:
            return documents.counts(connection, collection=collection)

    def collections(self, *, hidden: bool = False) -> list[str]:
        """Return the names of the collections that hold something, sorted; or the hidden ones."""
        with self._database.reading() as connection:
            return collections.names(connection, hidden=hidden)

    def rename(
        self, names: Mapping[str, str], *, settings: Mapping[str, str | None] | None = None
    ) -> None:
        """Give collections other names and store settings, all in one transaction.

        Raises:
            NotFound: No collection has the old name.
            InputError: Another one has the new name.
        """
        with self._database.writing() as connection:
            collections.rename(connection, names)
            for key, value in (settings or {}).items():
                _store(connection, key, value)

    def drop(self, collection: str) -> int:
        """Delete a collection with all that is in it; return how many documents that were.

        It goes in several transactions, so that others can write between two of them.
        """
        count = 0
        while True:
            with self._database.writing() as connection:
                some = documents.page(
                    connection, collection=collection, after=("", ""), limit=_PAGE
                )
                ids = [info.id for info in some]
                count += documents.remove(connection, ids, collection=collection)
                if not some:
                    collections.forget_collection(connection, collection)
                    return count

    def position(self, *, collection: str) -> int:
        """Return the position of the collection's last change; 0 when there was none."""
        with self._database.reading() as connection:
            return journal.position(connection, encode(collection))

    def changes(self, *, collection: str, after: int, limit: int) -> list[Change]:
        """Return the next changes after a position, in order."""
        if limit < 0:
            raise InputError(f"limit cannot be {limit!r}: 0 or more")
        with self._database.reading() as connection:
            return journal.changes(connection, encode(collection), after=after, limit=limit)

    def floor(self, *, collection: str) -> int:
        """Return how far the journal was forgotten; an index behind that starts anew."""
        with self._database.reading() as connection:
            return journal.floor(connection, encode(collection))

    def forget(self, *, collection: str, upto: int) -> None:
        """Drop changes that every index has applied; positions are never given again."""
        with self._database.writing() as connection:
            journal.forget(connection, encode(collection), upto=upto)

    def turns(self, chat_id: str) -> list[Turn]:
        """Return the turns, oldest first; none for a chat that is not there."""
        with self._database.reading() as connection:
            return conversations.turns(connection, chat_id)

    def append_turn(self, chat_id: str, turn: Turn) -> None:
        """Add a turn at the end."""
        with self._database.writing() as connection:
            conversations.append_turn(connection, chat_id, turn)

    def replace_turn(self, chat_id: str, turn: Turn) -> None:
        """Put a turn in place of the last one; a summary that covers that one is forgotten.

        Raises:
            InputError: The chat has no turn.
        """
        with self._database.writing() as connection:
            conversations.replace_turn(connection, chat_id, turn)

    def summary(self, chat_id: str) -> tuple[str, int]:
        """Return the summary of the oldest turns and how many of them it covers."""
        with self._database.reading() as connection:
            return conversations.summary(connection, chat_id)

    def set_summary(self, chat_id: str, text: str, covers: int) -> None:
        """Store a summary of the first ``covers`` turns.

        Raises:
            InputError: The chat has fewer turns.
        """
        with self._database.writing() as connection:
            conversations.set_summary(connection, chat_id, text, covers)

    def chats(self) -> list[str]:
        """Return the ids of all chats, the latest used first."""
        with self._database.reading() as connection:
            return conversations.chats(connection)

    def delete_chat(self, chat_id: str) -> bool:
        """Forget a chat; return whether it was there."""
        with self._database.writing() as connection:
            return conversations.delete_chat(connection, chat_id)

    def setting(self, key: str) -> str | None:
        """Return a setting, or None."""
        with self._database.reading() as connection:
            return settings.setting(connection, key)

    def set_setting(self, key: str, value: str | None) -> None:
        """Store a setting; None forgets it."""
        with self._database.writing() as connection:
            _store(connection, key, value)

    def put_record(self, record: Record) -> None:
        """Store a record in place of the one of its name."""
        with self._database.writing() as connection:
            records.put_record(connection, record)

    def add_record(self, record: Record) -> bool:
        """Store a record unless there is one of its name; return whether it was stored."""
        with self._database.writing() as connection:
            return records.add_record(connection, record)

    def record(self, kind: str, record_id: str) -> Record | None:
        """Return a record, or None."""
        with self._database.reading() as connection:
            return records.record(connection, kind, record_id)

    def records(
        self,
        kind: str,
        *,
        owner: str | None = None,
        before: datetime | None = None,
        limit: int = 1000,
    ) -> list[Record]:
        """Return records of a kind, the latest first, ties by id."""
        if limit < 0:
            raise InputError(f"limit cannot be {limit!r}: 0 or more")
        with self._database.reading() as connection:
            return records.records(connection, kind, owner=owner, before=before, limit=limit)

    def remove_records(self, kind: str, record_ids: Sequence[str]) -> int:
        """Forget records of a kind; return how many were there."""
        refuse_text(record_ids, "record_ids")
        with self._database.writing() as connection:
            return records.remove_records(connection, kind, record_ids)

    def problems(self) -> list[str]:
        """Return what does not hold together in the file; nothing where all is well."""
        with self._database.reading() as connection:
            return health.problems(connection)

    def compact(self) -> None:
        """Write the file anew without the room that deleted things took.

        Raises:
            BaseLocked: Another process has been writing for half a minute.
            DiskFull: There is no room for a second copy.
        """
        with self._database.alone() as connection:
            health.compact(connection)

    def backup(self, target: str) -> None:
        """Write a consistent copy to a new file, while others read and write.

        Raises:
            InputError: The file is there already.
        """
        self._database.backup(target)

    def close(self) -> None:
        """Close it. A second call does nothing."""
        self._database.close()


def _store(connection: sqlite3.Connection, key: str, value: str | None) -> None:
    if value is None:
        settings.forget_setting(connection, key)
    else:
        settings.set_setting(connection, key, value)
