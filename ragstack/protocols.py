"""The seams: what each room promises to the others. Small Protocols, nothing to inherit.

Each promise here is a test in ``ragstack.testing``; a plug-in subclasses the suite of its kind and
overrides one method. Common to all: inputs are never mutated; empty in, empty out; a lone ``str`` where
a sequence of strings is expected is refused with InputError; what holds a model, a file or a connection
also has ``close()``, which may be called twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragstack.filters import Filter
from ragstack.types import (
    Change,
    Chunk,
    Delta,
    Document,
    DocumentInfo,
    Entity,
    Gone,
    Grammar,
    Hit,
    Message,
    Passage,
    Relation,
    Sampling,
    Source,
    Span,
    ToolSpec,
    Turn,
)

__all__ = [
    "Capabilities",
    "Catalog",
    "Chunker",
    "Closeable",
    "Connector",
    "Conversations",
    "Documents",
    "Embedder",
    "Generator",
    "GraphStore",
    "Index",
    "Journal",
    "Loader",
    "Reranker",
    "Scorer",
    "Settings",
    "TokenCounter",
    "TokenEmbedder",
    "TokenVectors",
    "Tool",
    "Vectors",
]

Vectors = NDArray[np.float32]
"""Shape (n, dimensions), float32, rows of length 1."""


@runtime_checkable
class Closeable(Protocol):
    """Whatever holds a model, a file or a connection."""

    def close(self) -> None:
        """Let go of it. A second call does nothing."""
        ...


class Loader(Protocol):
    """Bytes in, Document out."""

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document, its structure in ``marks``, its typed metadata in ``meta``.

        ``document.id == document_id_of(source)``. Marks lie inside the text and are sorted by start.
        Whatever the bytes hold, the only error that leaves is a DocumentError.

        Raises:
            DocumentError: Broken, encrypted, empty, too large or of another kind; says which.
        """
        ...


class Connector(Protocol):
    """A place where documents are."""

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield what is there, or what changed or went since a moment. One that fails does not end it."""
        ...


class TokenCounter(Protocol):
    """Counts as an embedder or a generator will count. Special tokens are not counted."""

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        ...

    def offsets(self, text: str) -> Sequence[Span]:
        """Return each token's characters, in order; ``len(offsets(t)) == count(t)``."""
        ...


class Chunker(Protocol):
    """Document in, Chunks out."""

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start.

        ``document.text[c.start:c.end] == c.text`` and is not blank; ids are distinct; no text but white
        space is lost between the first and the last chunk; ``meta`` and ``readers`` are the document's
        (a chunker may add keys of its own); ``version`` is the document's.
        """
        ...


class Embedder(Protocol):
    """Texts in, unit vectors out."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the same text would give another vector; a base records it."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order; the same whatever stands beside it in the batch."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order."""
        ...


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """Vectors of a text's tokens, with their characters."""

    vectors: Vectors
    spans: tuple[Span, ...]


class TokenEmbedder(Protocol):
    """Texts in, a vector for each token out: late chunking, late interaction."""

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return one TokenVectors for each text, in order; special tokens left out."""
        ...


class Index(Protocol):
    """Chunks in, Hits out. Derived from the catalog, and says how far it has come.

    An index is made with the folder it may write to. ``add`` and ``delete`` are visible to ``search`` of
    the same object at once, and to everyone else after ``commit``. A process killed between two commits
    finds the state of the first one on opening.
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
        """Make everything so far durable, together with the journal position it reaches."""
        ...

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id.

        ``where`` holds inside the search: with enough matching chunks there are always ``k``. A ``k``
        above the size is fine. Query text has no syntax: any string is words to find.
        """
        ...

    def __len__(self) -> int:
        """Return how many chunks are indexed."""
        ...

    def close(self) -> None:
        """Let go of files. What was not committed is lost."""
        ...


class Documents(Protocol):
    """Documents and chunks by id. Every write is one transaction, and writes the journal with it."""

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

    def collections(self) -> list[str]:
        """Return the names of the collections that hold something, sorted."""
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
        """Return the position up to which the journal was forgotten; an index behind it starts anew."""
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
    """What a base remembers of how it was made: format version, embedder, …"""

    def setting(self, key: str) -> str | None:
        """Return a setting, or None."""
        ...

    def set_setting(self, key: str, value: str) -> None:
        """Store a setting."""
        ...


class Catalog(Documents, Journal, Conversations, Settings, Protocol):
    """The truth: documents, chunks, journal, conversations, settings. Safe to call from many threads."""

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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can do. A caller asks for what it needs and gets a clear error otherwise.

    Attributes:
        grammars: Kinds it can enforce: ``json_schema``, ``regex``, ``lark``, ``quote``.
        logprobs: It is a Scorer too.
        streams: How many streams run at once without waiting for each other.
    """

    grammars: frozenset[str] = frozenset()
    tools: bool = False
    images: bool = False
    logprobs: bool = False
    adapters: bool = False
    streams: int = 1


class Generator(Protocol):
    """Messages in, Deltas out. Safe to call from many threads."""

    @property
    def name(self) -> str:
        """The model's name, as a person would write it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def context_size(self) -> int:
        """Tokens of the window: prompt and answer together."""
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become, template and all."""
        ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer as it comes; the last delta has ``finish`` and ``usage``.

        Closing the iterator stops the work. No text in a message can become a control token.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit; raised before the first delta.
            UnsupportedCapability: Tools, grammar or images it cannot do; before the first delta.
            GrammarError: The grammar cannot be compiled; before the first delta.
        """
        ...


class Scorer(Protocol):
    """How likely a generator finds a text. A remote may lack it."""

    def logprobs(
        self, messages: Sequence[Message], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Return the natural log-probability of each token of each continuation as the next reply."""
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


class Tool(Protocol):
    """Something an agent can do."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and parameters, as the generator sees them."""
        ...

    def __call__(self, **arguments: object) -> str:
        """Return what the generator shall read.

        Raises:
            InputError: The arguments cannot be used; the message goes back to the generator.
        """
        ...
