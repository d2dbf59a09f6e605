"""A base, who asks and a tool's arguments in; what a model reads and a program parses out.

Knows no protocol. The base is a Stack, or a Client in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import quote, unquote

from ragstack.agents.arguments import checked
from ragstack.errors import Cancelled, InputError, NotFound, RagstackError
from ragstack.filters import Readable, matches
from ragstack.types import Answer, Citation, Document, DocumentInfo, Passage, ToolSpec
from ragstack.types.wire import citation_json, passage_json

__all__ = ["LOCAL", "SPECS", "Base", "Desk", "Refused", "Rights", "Told", "address_of"]

_SCHEME = "ragstack:///"
_MOST_READ = 20_000  # characters that one call of ``read`` returns
_MOST_PASSAGES = 50
_USUAL_PASSAGES = 8

Json = dict[str, Any]
Base = Any
"""Has the methods of Stack."""


class Refused(RagstackError):
    """The caller has not the right."""


class Rights(Protocol):
    """Who asks, as the server's ``Caller``."""

    @property
    def asker(self) -> Sequence[str]:
        """The user and their groups."""
        ...

    @property
    def rights(self) -> frozenset[str]:
        """Of ``read``, ``ask``, ``write``, ``admin``."""
        ...

    @property
    def collections(self) -> Sequence[str] | None:
        """The only ones they may know of; None is all."""
        ...


@dataclass(frozen=True, slots=True)
class _Local:
    asker: tuple[str, ...] = ()
    rights: frozenset[str] = frozenset({"read", "ask"})
    collections: tuple[str, ...] | None = None


LOCAL = _Local
"""Rights of whoever starts the program: all that is read-only, as the askers given."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a tool answers: text for a model, and the same for a program."""

    text: str
    data: Mapping[str, Any]


_COLLECTION = {"type": "string", "description": "Which collection; 'default' where none is named."}
_WHERE = {
    "type": "object",
    "description": "Only documents whose metadata match, such as "
    '{"language": "fr"} or {"year": {"gte": 2020}}.',
    "additionalProperties": {},
}


def _spec(name: str, description: str, needed: str, properties: Mapping[str, Json]) -> ToolSpec:
    parameters = {
        "type": "object",
        "properties": dict(properties),
        "required": [needed],
        "additionalProperties": False,
    }
    return ToolSpec(name, description, parameters)


SPECS: Mapping[str, ToolSpec] = {
    spec.name: spec
    for spec in (
        _spec(
            "search",
            "Find passages in the documents for a question or a few words. Returns numbered "
            "passages, each with the id of its document and its span there: `read` shows more "
            "around it.",
            "query",
            {
                "query": {"type": "string", "description": "What to look for."},
                "k": {
                    "type": "integer",
                    "description": f"How many passages, 1 to {_MOST_PASSAGES}; else "
                    f"{_USUAL_PASSAGES}.",
                },
                "where": _WHERE,
                "collection": _COLLECTION,
            },
        ),
        _spec(
            "read",
            "Read a document, or a span of it, as plain text. Offsets are characters. A long "
            f"document comes in parts of {_MOST_READ} characters: go on with `start`.",
            "document_id",
            {
                "document_id": {"type": "string", "description": "As `search` gives it."},
                "start": {"type": "integer", "description": "First character; else 0."},
                "end": {"type": "integer", "description": "One past the last; else the end."},
                "collection": _COLLECTION,
            },
        ),
        _spec(
            "ask",
            "Answer a question from the documents, with verbatim quotes that were checked against "
            "them. The answering model runs beside the documents and may take a while. It says "
            "so where the documents do not answer.",
            "question",
            {
                "question": {"type": "string", "description": "A question that stands alone."},
                "style": {"enum": ["brief", "normal", "detailed"], "description": "How long."},
                "where": _WHERE,
                "collection": _COLLECTION,
            },
        ),
    )
}


def address_of(document_id: str, collection: str) -> str:
    """Return the address of a document as a resource."""
    return f"{_SCHEME}{quote(collection, safe='')}/{quote(document_id, safe='')}"


@dataclass(frozen=True)
class Desk:
    """A base as one caller sees it.

    Attributes:
        gone: Set when the caller went away; an answer under way is given up.
    """

    base: Base
    caller: Rights
    gone: threading.Event = field(default_factory=threading.Event)

    def call(self, name: str, arguments: Mapping[str, object]) -> Told:
        """Return what a tool answers.

        Raises:
            NotFound: There is no such tool, document or collection for the caller.
            Refused: The caller has not the right.
            InputError: The arguments cannot be used.
        """
        tools: Mapping[str, Callable[[Json], Told]] = {
            "search": self._search,
            "read": self._read,
            "ask": self._ask,
        }
        if name not in tools:
            raise NotFound(f"there is no tool {name!r}; known: {', '.join(tools)}")
        return tools[name](checked(SPECS[name], arguments))

    def resources(self, offset: int, limit: int) -> list[tuple[str, DocumentInfo]]:
        """Return documents that the caller may read, with their addresses, some at a time."""
        self._may("read")
        rows = [
            (address_of(info.id, collection), info)
            for collection in self.base.stats()["collections"]
            if self._sees(collection)
            for info in self.base.documents(collection=collection)
            if self._readable(info)
        ]
        return rows[offset : offset + limit]

    def resource(self, address: str) -> Document:
        """Return the document at an address.

        Raises:
            NotFound: The caller can read none there.
        """
        collection, _, document_id = address.removeprefix(_SCHEME).partition("/")
        if not address.startswith(_SCHEME) or not document_id:
            raise NotFound(f"{address!r} is no address of a document")
        return self._document(unquote(document_id), unquote(collection))

    def _search(self, given: Json) -> Told:
        self._may("read")
        k = given.get("k", _USUAL_PASSAGES)
        if not 1 <= k <= _MOST_PASSAGES:
            raise InputError(f"k is {k!r}, expected 1 to {_MOST_PASSAGES}")
        query, collection = given["query"], self._collection(given)
        found = self.base.search(query, k=k, **self._limits(given, collection))
        shown = [_shown(n, passage, collection) for n, passage in enumerate(found, start=1)]
        rows = [
            passage_json(passage) | {"uri": address_of(passage.chunk.document_id, collection)}
            for passage in found
        ]
        for row in rows:
            del row["readers"]  # who else may read it is nothing to a model
        text = "\n\n".join(shown) or f"Nothing was found for {query!r}."
        return Told(text, {"passages": rows})

    def _read(self, given: Json) -> Told:
        document = self._document(given["document_id"], self._collection(given))
        length = len(document.text)
        start, end = given.get("start", 0), min(given.get("end", length), length)
        if not 0 <= start <= end:
            raise InputError(f"the span {start}-{end} is none of 0-{length}")
        end = min(end, start + _MOST_READ)
        text = document.text[start:end]
        more = end < min(given.get("end", length), length)
        head = f"{document.source}, characters {start}-{end} of {length}"
        note = f"\n\n(it goes on: read with start={end})" if more else ""
        data = {
            "document_id": document.id,
            "source": document.source,
            "title": document.meta.get("title"),
            "start": start,
            "end": end,
            "length": length,
            "text": text,
        }
        return Told(f"{head}\n\n{text}{note}", data)

    def _ask(self, given: Json) -> Told:
        self._may("ask")
        collection = self._collection(given)
        limits = self._limits(given, collection)
        events = self.base.stream(given["question"], style=given.get("style"), **limits)
        answer: Answer | None = None
        try:
            for event in events:
                if self.gone.is_set():
                    break
                answer = event if isinstance(event, Answer) else answer
        finally:
            events.close()  # which stops the work
        if answer is None:
            raise Cancelled("nobody waits for the answer any more")
        data = {
            "answer": answer.text,
            "abstained": answer.abstained,
            "grounded": answer.grounded,
            "citations": [
                citation_json(citation) | {"uri": address_of(citation.document_id, collection)}
                for citation in answer.citations
            ],
            "notes": list(answer.notes),
        }
        quotes = [_quoted(citation) for citation in answer.citations]
        warning = [] if answer.grounded or answer.abstained else [_UNSUPPORTED]
        return Told("\n\n".join([answer.text, *warning, *answer.notes, *quotes]), data)

    def _limits(self, given: Json, collection: str) -> Json:
        asker = tuple(self.caller.asker)
        return {"where": given.get("where"), "asker": asker, "collection": collection}

    def _collection(self, given: Json) -> str:
        collection = str(given.get("collection", "default"))
        if not self._sees(collection):
            raise NotFound(f"there is no collection {collection!r}")
        return collection

    def _document(self, document_id: str, collection: str) -> Document:
        self._may("read")
        found = None
        if self._sees(collection):
            found = cast("Document | None", self.base.document(document_id, collection=collection))
        # Not there, and not for these eyes, are told alike.
        if found is None or not self._readable(found):
            raise NotFound(
                f"there is no document {document_id!r} in the collection {collection!r}",
                hint="`search` gives the ids of documents",
            )
        return found

    def _sees(self, collection: str) -> bool:
        return self.caller.collections is None or collection in self.caller.collections

    def _readable(self, document: Document | DocumentInfo) -> bool:
        return matches(Readable(frozenset(self.caller.asker)), {}, document.readers)

    def _may(self, right: str) -> None:
        if right not in self.caller.rights:
            raise Refused(f"this takes the right {right!r}")


_UNSUPPORTED = "(Some of this is not supported by the documents.)"


def _shown(number: int, passage: Passage, collection: str) -> str:
    chunk = passage.chunk
    where = "" if collection == "default" else f", collection {collection}"
    page = chunk.meta.get("page")
    at = "" if page is None else f", page {page}"
    place = f"document {chunk.document_id}, characters {chunk.start}-{chunk.end}{where}"
    return f"[{number}] {passage.source}{at} ({place})\n{chunk.indexed_text}"


def _quoted(citation: Citation) -> str:
    place = f"document {citation.document_id}, characters {citation.start}-{citation.end}"
    return f"[{citation.marker}] {citation.source} ({place})\n«{citation.quote}»"
