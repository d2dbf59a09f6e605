"""Seams of what is kept and found: catalog, indexes, graphs, rerankers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from ragstack.filters import Filter
from ragstack.types import (
    Change,
    Chunk,
    Document,
    DocumentInfo,
    Entity,
    Hit,
    Passage,
    Record,
    Relation,
    Source,
    Turn,
)

__all__ = [
    "Auditable",
    "Catalog",
    "Compactable",
    "Conversations",
    "Documents",
    "GraphStore",
    "Index",
    "Journal",
    "Live",
    "Records",
    "Reranker",
    "Settings",
]


class Index(Protocol):
    """Chunks in, Hits out. Derived from the catalog, and says how far it has come.

    An index is made with the folder it may write to. ``add`` and ``delete`` are visible to
    ``search`` of the same object at once, and to everyone else after ``commit``. A process killed
    between two commits finds the state of the first one on opening.
    """

    @property
    def position(self) -> int:
        """Journal position of the last commit; 0 for a new index."""
        ...

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Index the chunks; one whose id is there is replaced."""
        ...

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Forget these chunks; the unknown are ignored."""
        ...

    def commit(self, position: int) -> None:
        """Make everything so far durable, together with the journal position it reaches.

        It also lets another process write: the right to write is taken by the first change after.
        """
        ...

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id.

        ``where`` holds inside the search: with enough matching chunks there are always ``k``. A
        ``k`` above the size is fine. Query text has no syntax: any string is words to find.
        """
        ...

    def __len__(self) -> int:
        """Return how many chunks are indexed."""
        ...

    def close(self) -> None:
        """Let go of files. What was not committed is lost."""
        ...


class Live(Protocol):
    """A service that is asked when a question is asked; the index ``live`` makes Hits of it."""

    def ask(self, question: str, *, k: int) -> Sequence[Source]:
        """Return at most ``k`` texts (UTF-8), best first, each with an address to cite.

        Raises:
            RagstackError: It cannot be reached, or answers what cannot be read.
        """
        ...


@runtime_checkable
class Auditable(Protocol):
    """An Index that can be compared with the catalog, chunk by chunk (``ragstack verify``)."""

    def ids(self) -> list[str]:
        """Return the id of every chunk that is indexed, in any order."""
        ...

    def damaged(self, chunks: Sequence[Chunk]) -> list[str]:
        """Return the ids of those chunks that are held in another form than ``add`` gives them."""
        ...


@runtime_checkable
class Compactable(Protocol):
    """An Index whose files can be written anew, merged and without what was deleted."""

    def compact(self) -> None:
        """Do so, and commit at the position of the last commit."""
        ...


class Documents(Protocol):
    """Documents and chunks by id. Every write is one transaction, journal included."""

    def put(
        self, document: Document, chunks: Sequence[Chunk], *, collection: str, origin: str
    ) -> None:
        """Store the document and its chunks in place of what was there under its id."""
        ...

    def remove(self, document_ids: Sequence[str], *, collection: str) -> int:
        """Remove the documents and their chunks; return how many were there."""
        ...

    def document(self, document_id: str, *, collection: str) -> Document | None:
        """Return the document, text and marks too."""
        ...

    def documents(self, *, collection: str) -> Iterator[DocumentInfo]:
        """Yield what is known of each document, by source."""
        ...

    def chunks(self, chunk_ids: Sequence[str], *, collection: str) -> dict[str, Chunk]:
        """Return the chunks that are there, by id."""
        ...

    def chunks_of(self, document_id: str, *, collection: str) -> list[Chunk]:
        """Return a document's chunks, by start."""
        ...

    def sources(self, document_ids: Sequence[str], *, collection: str) -> dict[str, str]:
        """Return the address of each document that is there, by id."""
        ...

    def counts(self, *, collection: str) -> tuple[int, int]:
        """Return how many documents and how many chunks there are."""
        ...

    def collections(self, *, hidden: bool = False) -> list[str]:
        """Return the names of the collections that hold something, sorted; or the hidden ones.

        Hidden is a name that begins with ``~``: work that nobody is shown yet, or any more.
        """
        ...

    def rename(
        self, names: Mapping[str, str], *, settings: Mapping[str, str | None] | None = None
    ) -> None:
        """Give collections other names, in order, and store settings: one transaction."""
        ...

    def drop(self, collection: str) -> int:
        """Delete a collection with all that is in it; return how many documents that were."""
        ...


class Journal(Protocol):
    """What happened to chunks, in order, so that indexes catch up."""

    def position(self, *, collection: str) -> int:
        """Return the position of the collection's last change; 0 when there was none."""
        ...

    def changes(self, *, collection: str, after: int, limit: int) -> list[Change]:
        """Return the next changes after a position, in order."""
        ...

    def floor(self, *, collection: str) -> int:
        """Return how far the journal was forgotten; an index behind that starts anew."""
        ...

    def forget(self, *, collection: str, upto: int) -> None:
        """Drop changes that every index has applied."""
        ...


class Conversations(Protocol):
    """Stored conversations."""

    def turns(self, chat_id: str) -> list[Turn]:
        """Return the turns, oldest first; none for a chat that is not there."""
        ...

    def append_turn(self, chat_id: str, turn: Turn) -> None:
        """Add a turn at the end."""
        ...

    def replace_turn(self, chat_id: str, turn: Turn) -> None:
        """Put a turn in place of the last one; a summary that covers that one is forgotten.

        Raises:
            InputError: The chat has no turn.
        """
        ...

    def summary(self, chat_id: str) -> tuple[str, int]:
        """Return the summary of the oldest turns and how many of them it covers."""
        ...

    def set_summary(self, chat_id: str, text: str, covers: int) -> None:
        """Store a summary of the first ``covers`` turns."""
        ...

    def chats(self) -> list[str]:
        """Return the ids of all chats, the latest used first."""
        ...

    def delete_chat(self, chat_id: str) -> bool:
        """Forget a chat; return whether it was there."""
        ...


class Settings(Protocol):
    """What a base remembers of how it was made: format version, embedder."""

    def setting(self, key: str) -> str | None:
        """Return a setting, or None."""
        ...

    def set_setting(self, key: str, value: str | None) -> None:
        """Store a setting; None forgets it."""
        ...


class Records(Protocol):
    """Small things with a name, by kind: runs, feedback, accounts, the state of a sync."""

    def put_record(self, record: Record) -> None:
        """Store a record in place of the one of its name."""
        ...

    def add_record(self, record: Record) -> bool:
        """Store a record unless there is one of its name; return whether it was stored."""
        ...

    def record(self, kind: str, record_id: str) -> Record | None:
        """Return a record, or None."""
        ...

    def records(
        self,
        kind: str,
        *,
        owner: str | None = None,
        before: datetime | None = None,
        limit: int = 1000,
    ) -> list[Record]:
        """Return records of a kind, the latest first, ties by id.

        Only those of an owner, and those changed before a moment, where either is given.
        """
        ...

    def remove_records(self, kind: str, record_ids: Sequence[str]) -> int:
        """Forget records of a kind; return how many were there."""
        ...


class Catalog(Documents, Journal, Conversations, Settings, Records, Protocol):
    """The truth: documents, chunks, journal, conversations. Safe to call from many threads."""

    def problems(self) -> list[str]:
        """Return what does not hold together in what is stored; nothing where all is well."""
        ...

    def compact(self) -> None:
        """Give back the room that deleted things took."""
        ...

    def backup(self, target: str) -> None:
        """Write a consistent copy to a new file, while others read and write."""
        ...

    def close(self) -> None:
        """Close it. A second call does nothing."""
        ...


class Reranker(Protocol):
    """Passages in, one number each out; ordering, ties, cut-off and trail are the house's."""

    def score(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        """Return one score for each passage, in order; higher is better."""
        ...


class GraphStore(Protocol):
    """Entities and relations, each tied to the chunks that say them."""

    def add(self, entities: Sequence[Entity], relations: Sequence[Relation]) -> None:
        """Store entities by id and facts by content; what is there already is kept once."""
        ...

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove what only these chunks said; an entity that no fact names goes too."""
        ...

    def neighbours(self, entity_ids: Sequence[str], *, limit: int) -> list[Relation]:
        """Return facts that touch these entities, in a fixed order."""
        ...

    def find(self, names: Iterable[str]) -> list[Entity]:
        """Return the entities of these names, letter case aside, by id."""
        ...

    def subgraph(self, entity_ids: Sequence[str], *, hops: int, limit: int) -> list[Relation]:
        """Return facts within so many steps of these entities, nearest first."""
        ...
