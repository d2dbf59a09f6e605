"""Seams on the way in: loaders, connectors, chunkers, embedders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ragstack.types import Chunk, Document, Gone, Source, Span

__all__ = [
    "ChunkEmbedder",
    "Chunker",
    "Closeable",
    "Connector",
    "Embedder",
    "Expansion",
    "Loader",
    "SparseEmbedder",
    "TokenCounter",
    "TokenEmbedder",
    "TokenVectors",
    "Vectors",
]

if TYPE_CHECKING:
    # Naming the type must not make `import ragstack` wait for numpy.
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """Shape (n, dimensions), float32, rows of length 1."""
else:
    Vectors = Any


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

        ``document.id == document_id_of(source)``. Marks lie inside the text and are sorted by
        start. Whatever the bytes hold, the only error that leaves is a DocumentError.

        Raises:
            DocumentError: Broken, encrypted, empty, too large or of another kind; says which.
        """
        ...


class Connector(Protocol):
    """A place where documents are.

    A connector may also have, for whoever asks it again and again (``ragstack sync``):
    ``failures``, a list of what it could not read in the last fetch, which begins anew with each;
    ``present``, after a fetch to the end, the addresses of all that is there, or None where it
    cannot say (one without the attribute is asked for everything each time, and what it leaves out
    has gone); ``known``, set before a fetch to the addresses that the caller has, so that others
    are yielded whatever their date; ``state``, set before a fetch to what it was after the last,
    which ``json.dumps`` takes; and ``close``.
    """

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield what is there, or what changed or went since a moment; no bad source ends it."""
        ...


class TokenCounter(Protocol):
    """Counts as an embedder or a generator will count. Special tokens are not counted."""

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        ...

    def offsets(self, text: str) -> Sequence[Span]:
        """Return each token's characters, in order; ``len(offsets(t)) == count(t)``."""
        ...


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a search does with a chunker's chunks; a chunker that wants it has one as ``expansion``.

    A chunk whose metadata have ``window`` (``"120-480"``, characters of its document) is shown as
    that span; chunks with the same ``parent`` (a span too), of which it has ``siblings``, are shown
    as the parent when enough of them are found.

    Attributes:
        candidates: Passages looked for in place of each one that is asked for.
        merge: Share of a parent's children that is enough; 0 never merges.
    """

    candidates: int = 1
    merge: float = 0.0


class Chunker(Protocol):
    """Document in, Chunks out."""

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start.

        ``document.text[c.start:c.end] == c.text`` and is not blank; ids are distinct; no text but
        white space is lost between the first and the last chunk; ``meta`` and ``readers`` are the
        document's (a chunker may add keys of its own); ``version`` is the document's.
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
        """Return one unit row for each text, in order, whatever stands beside it in the batch."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order."""
        ...


@runtime_checkable
class DatedEmbedder(Protocol):
    """An Embedder that can still give the vectors it gave in earlier releases.

    A base that was made with those is searched and filled with them until it is built anew.
    """

    def as_of(self, fingerprint: str) -> Embedder:
        """Return the embedder that had this fingerprint; itself where none of its own had."""
        ...


@runtime_checkable
class ChunkEmbedder(Protocol):
    """Chunks in, unit vectors out, for an Embedder whose vectors need more than a chunk's text.

    An index that has an embedder with this method calls it in place of ``embed_documents``.
    """

    def embed_chunks(self, chunks: Sequence[Chunk]) -> Vectors:
        """Return one unit row for each chunk, in order."""
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


class SparseEmbedder(Protocol):
    """Texts in, learned weights of terms out: SPLADE and its kin."""

    @property
    def fingerprint(self) -> str:
        """Changes when the same text would give other weights; an index records it."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> list[Mapping[int, float]]:
        """Return for each text, in order, the weight above 0 of each term it speaks of."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> list[Mapping[int, float]]:
        """Return the same for questions; a chunk's score is the sum of products."""
        ...
