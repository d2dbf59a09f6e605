"""Sources, documents, chunks and what an ingest did with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

__all__ = [
    "READ_TEXT",
    "Change",
    "Chunk",
    "Document",
    "DocumentInfo",
    "Failure",
    "Gone",
    "IngestReport",
    "Mark",
    "Meta",
    "NearDuplicate",
    "Scalar",
    "Source",
    "Span",
    "document_id_of",
]

Scalar = str | int | float | bool | None


Meta = Mapping[str, Scalar]


Span = tuple[int, int]


READ_TEXT = "text/vnd.ragstack.read"
"""Media type of a Source whose bytes are UTF-8 text that somebody has read already: it is taken as
it is, whatever it looks like."""


_ID_DIGITS = 16


_VERSION_DIGITS = 8


def document_id_of(uri: str) -> str:
    """Return the document id of a source address: stable over edits, 64 bits of SHA-256."""
    return hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Source:
    """What a connector yields: bytes with an address.

    Attributes:
        uri: Address of the source: a path, a URL, a row. It names the document for ever.
        media_type: What the place says it is (``text/html``), or an empty string.
        modified: When the place says it changed, if it says so.
        meta: Typed metadata known to the place; it wins over what a loader finds.
        readers: Users and groups who may see it; empty is everyone.
    """

    uri: str
    data: bytes = field(repr=False)
    media_type: str = ""
    modified: datetime | None = None
    meta: Meta = field(default_factory=dict)
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gone:
    """What a connector yields for a source that is there no longer."""

    uri: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a span of a document's text stands: a heading, a page, a table, a figure, a time.

    Attributes:
        kind: ``heading``, ``page``, ``table``, ``figure``, ``code``, ``time``.
        label: The heading's own text, the page's printed label, a caption.
        level: Depth of a heading, 1 for the outermost; 0 for what has none.
        page: Page number, from 1.
        box: Rectangle on the page in points, origin top left: (x0, y0, x1, y1).
        seconds: Place in a recording.
    """

    kind: str
    start: int
    end: int
    label: str = ""
    level: int = 0
    page: int | None = None
    box: tuple[float, float, float, float] | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its structure and where it came from.

    Attributes:
        id: Short hash of the source address, stable over edits.
        source: The address (``Source.uri``).
        meta: title, author, date, language, type (typed and checked), then the user's own scalars.
        marks: Headings, pages, tables, …, sorted by start.
        readers: Users and groups who may see it; empty is everyone.
    """

    id: str
    text: str = field(repr=False)
    source: str
    meta: Meta = field(default_factory=dict)
    marks: tuple[Mark, ...] = field(default=(), repr=False)
    readers: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of text and marks, as 64 hex digits."""
        state = hashlib.sha256(self.text.encode("utf-8", "surrogatepass"))
        for mark in self.marks:
            state.update(repr(mark).encode("utf-8", "surrogatepass"))
        return state.hexdigest()

    @property
    def version(self) -> str:
        """First 8 hex digits of the digest; part of every chunk id."""
        return self.digest[:_VERSION_DIGITS]


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What the catalog knows of a document without its text.

    Attributes:
        digest: Digest of text and marks.
        origin: Digest of the source bytes and of everything that decides how they are read and cut;
            equal origin means there is nothing to do.
        length: Characters of text.
        chunks: How many chunks it has.
    """

    id: str
    source: str
    digest: str
    origin: str
    meta: Meta
    readers: tuple[str, ...]
    length: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of one document, as it is indexed.

    Attributes:
        version: 8 hex digits of the document's digest, so that an id never comes to mean another
            text.
        text: ``document.text[start:end]``, always.
        context: Indexed with the text, shown apart: heading path, table header, a line of summary.
        kind: ``text``, ``table``, ``code``, ``parent``, …
        meta: The document's metadata and the chunk's own (``heading``, ``page``).
        readers: Users and groups who may see it; empty is everyone.
    """

    document_id: str
    version: str
    start: int
    end: int
    text: str
    context: str = ""
    kind: str = "text"
    meta: Meta = field(default_factory=dict)
    readers: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The chunk's id: document, version, span, kind."""
        return f"{self.document_id}.{self.version}:{self.start}-{self.end}:{self.kind}"

    @property
    def indexed_text(self) -> str:
        """What an index reads: the context, then the text."""
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the catalog's journal: a chunk came or went. Positions are never reused."""

    position: int
    chunk_id: str
    added: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be ingested, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two documents that say nearly the same.

    Attributes:
        source: Address of the one.
        of: Address of the other; at ingest, of the one that was there before.
        similarity: Share of their runs of three words that both have, 1 for equal texts.
    """

    source: str
    of: str
    similarity: float


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, by source address.

    Attributes:
        incomplete: Taken in, but part of it could not be read; and why.
        notes: What else a person should know: what lines of context cost.
        skipped: Not taken in, because they are near duplicates (see ``near_duplicates``).
        near_duplicates: Documents that say nearly what another one says, where that was asked for.
    """

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    incomplete: tuple[Failure, ...] = ()
    chunks: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    near_duplicates: tuple[NearDuplicate, ...] = ()
