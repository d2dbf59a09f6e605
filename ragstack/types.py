"""The values that travel between rooms: frozen, compared by content, knowing nothing of storage.

Offsets are characters of the document's text, half-open. Ids are strings made from content and place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

__all__ = [
    "Answer",
    "Change",
    "Chunk",
    "Citation",
    "Delta",
    "Document",
    "DocumentInfo",
    "Entity",
    "Failure",
    "Gone",
    "Grammar",
    "Hit",
    "IngestReport",
    "JsonSchema",
    "Lark",
    "Mark",
    "Message",
    "Meta",
    "Part",
    "Passage",
    "Quote",
    "Regex",
    "Relation",
    "Role",
    "Sampling",
    "Scalar",
    "Sentence",
    "Source",
    "Span",
    "ToolCall",
    "ToolSpec",
    "Turn",
    "Usage",
    "Verdict",
    "document_id_of",
]

Scalar = str | int | float | bool | None
Meta = Mapping[str, Scalar]
Span = tuple[int, int]
Role = Literal["system", "user", "assistant", "tool"]
Verdict = Literal["verbatim", "supported", "unsupported"]

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
        kind: ``heading``, ``page``, ``table``, ``figure``, ``code``, ``time``, ``boilerplate``.
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
        version: 8 hex digits of the document's digest, so that an id never comes to mean another text.
        text: ``document.text[start:end]``, always.
        context: Indexed with the text and shown apart: heading path, table header, a line of summary.
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
    """One line of the catalog's journal.

    Attributes:
        position: Grows by every change, never reused.
        added: True for a chunk that came, False for one that went.
    """

    position: int
    chunk_id: str
    added: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found by an index. Higher is better."""

    chunk_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk found for a question, with the trail of scores that brought it here.

    Attributes:
        trail: Score by stage: ``{"lexical": 11.2, "vector": 0.83, "rrf": 0.031, "rerank": 4.1}``.
    """

    chunk: Chunk
    score: float
    source: str
    trail: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entity:
    """A node of a knowledge graph."""

    id: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A fact of a knowledge graph; it keeps the chunk that says it."""

    subject: str
    predicate: str
    object: str
    chunk_id: str


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message that is not plain text.

    Attributes:
        data: Text, or the bytes of an image.
        type: Media type: ``text/plain``, ``image/png``, …
    """

    data: str | bytes
    type: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a generator sees it.

    Attributes:
        parameters: JSON schema of the arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A generator's wish to call a tool."""

    id: str
    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation with a generator."""

    role: Role
    content: str | tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The message's text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.data for part in self.content if isinstance(part.data, str))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. The default is greedy, so that an answer can be had again.

    Attributes:
        temperature: 0 is greedy.
        top_k: 0 keeps all.
        seed: Same seed, same text.
        stop: Strings that end the text; they are not part of it.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The output must be JSON that this schema accepts."""

    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Regex:
    """The output must match this regular expression from end to end."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Lark:
    """The output must be derived from this Lark grammar (llguidance's dialect)."""

    grammar: str


@dataclass(frozen=True, slots=True)
class Quote:
    """The output can only be a contiguous span of one of these passages."""

    passages: tuple[str, ...]


Grammar = JsonSchema | Regex | Lark | Quote


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation took.

    Attributes:
        cached_tokens: Prompt tokens that were not read again.
        seconds: Wall-clock time.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum, field by field."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.answer_tokens + other.answer_tokens,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a generator's stream.

    Attributes:
        reasoning: Thinking; shown apart, never quoted, cited or parsed as the answer.
        finish: On the last delta only: ``stop``, ``length``, ``tool_calls``, ``cancelled``.
        usage: On the last delta only.
    """

    text: str = ""
    reasoning: str = ""
    tool_call: ToolCall | None = None
    finish: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A verbatim quote and its place in its document.

    Attributes:
        marker: The number shown in the answer, as in ``[1]``.
        start: Where the quote begins in the document's text.
        quote: ``document.text[start:end]``, always.
        verdict: ``verbatim``: the answer repeats the source's words; ``supported``: the source says it in
            other words; ``unsupported`` is never a citation's verdict, only a sentence's.
        mark: The page, heading or region the quote stands in.
    """

    marker: int
    chunk_id: str
    document_id: str
    source: str
    start: int
    end: int
    quote: str
    verdict: Verdict
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer (a span of ``Answer.text``) and whether a source stands behind it."""

    start: int
    end: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and everything needed to check it.

    Attributes:
        abstained: True when nothing found answers the question and the text says so.
        grounded: It did not abstain, and no sentence is unsupported.
        notes: Things the reader should know: a fallback model, a truncated context.
        seconds: Wall-clock time by step: ``{"retrieve": 0.02, "generate": 1.3}``.
    """

    text: str
    abstained: bool
    grounded: bool
    sentences: tuple[Sentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer in a stored conversation.

    Attributes:
        standalone: The question as it was searched: a follow-up rewritten to stand alone.
    """

    question: str
    answer: str
    standalone: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be ingested, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, by source address."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    chunks: int = 0
    seconds: float = 0.0
