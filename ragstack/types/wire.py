"""Values in, the JSON that servers, clients and ``--json`` speak out, and the same values back.

The one home of these forms: what one side writes the other reads to the last bit. A reader passes
over what it does not know and gives what is missing its default, since the two sides may be of
different releases. Knows no HTTP.

A lone surrogate, as of a file's name, comes through; two that happen to make a pair come out as the
character they make, since JSON's text is of UTF-16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ragstack.errors import RemoteError
from ragstack.types.answers import Answer, Citation, Retrieved, Sentence, Turn
from ragstack.types.documents import Chunk, Document, DocumentInfo, IngestReport, Mark
from ragstack.types.generation import Delta, Usage
from ragstack.types.plain import plain, read
from ragstack.types.retrieval import Passage
from ragstack.types.trace import TraceStep

__all__ = [
    "answer_json",
    "answer_of",
    "chunk_json",
    "citation_json",
    "citation_of",
    "delta_json",
    "delta_of",
    "document_json",
    "document_of",
    "info_json",
    "info_of",
    "parsed",
    "passage_json",
    "passage_of",
    "report_json",
    "report_of",
    "retrieved_json",
    "trace_json",
    "trace_of",
    "turn_json",
    "turn_of",
    "usage_json",
]

T = TypeVar("T")
Json = Mapping[str, Any]

_SHOWN = ("title", "type", "language", "date")  # of a document's metadata, beside the whole of it


def parsed(reading: Callable[[Any], T], data: Any) -> T:
    """Return what a reader makes of data that came from elsewhere.

    Raises:
        RemoteError: It is no such thing.
    """
    try:
        return reading(data)
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise RemoteError(
            f"the server sent what is no answer to this: {error}",
            hint="are client and server of the same release? `ragstack --version`",
        ) from error


def chunk_json(chunk: Chunk) -> dict[str, Any]:
    """Return a chunk as the server lists it."""
    return {
        "id": chunk.id,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "context": chunk.context,
        "kind": chunk.kind,
        "meta": dict(chunk.meta),
    }


def passage_json(passage: Passage, mark: Mark | None = None) -> dict[str, Any]:
    """Return a passage as ``search --json`` and the server show it.

    Args:
        mark: The page or heading it stands under, which a passage itself does not know.
    """
    chunk = passage.chunk
    return {
        "document_id": chunk.document_id,
        "source": passage.source,
        "title": chunk.meta.get("title"),
        "chunk_id": chunk.id,
        "start": chunk.start,
        "end": chunk.end,
        "kind": chunk.kind,
        "text": chunk.text,
        "context": chunk.context,
        "mark": plain(mark),
        "meta": dict(chunk.meta),
        "readers": list(chunk.readers),
        "score": passage.score,
        "trail": dict(passage.trail),
    }


def passage_of(data: Json) -> Passage:
    """Return the passage of ``passage_json``; its mark is not part of it."""
    document, name = data["document_id"], data["chunk_id"]
    version, _, rest = name.removeprefix(f"{document}.").partition(":")
    kind = rest.removeprefix(f"{data['start']}-{data['end']}:")
    given = {key: data[key] for key in ("start", "end", "text", "context", "meta") if key in data}
    given |= {"document_id": document, "version": version, "kind": kind}
    if "readers" in data:
        given["readers"] = data["readers"]
    chunk = read(Chunk, given, lenient=True)
    if chunk.id != name:
        raise ValueError(f"{name!r} is not the id of a chunk {chunk.id!r}")
    trail = {str(stage): read(float, score) for stage, score in data.get("trail", {}).items()}
    return Passage(chunk, read(float, data["score"]), read(str, data["source"]), trail)


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return what a generation took; money is exact, as text: JSON's numbers are read as floats."""
    cost = usage.cost
    money = None if cost is None else {"amount": f"{cost.amount:f}", "currency": cost.currency}
    return {**plain(usage), "cost": money}


def trace_json(trace: Sequence[TraceStep]) -> list[dict[str, Any]]:
    """Return a trace as ``--trace --json`` and the server show it."""
    return [
        {
            "step": step.name,
            "produced": list(step.produced),
            "seconds": step.seconds,
            "usage": usage_json(step.usage),
        }
        for step in trace
    ]


def trace_of(data: Sequence[Json]) -> tuple[TraceStep, ...]:
    """Return the trace of ``trace_json``."""
    return tuple(read(TraceStep, {**step, "name": step["step"]}, lenient=True) for step in data)


def citation_json(citation: Citation) -> dict[str, Any]:
    """Return a citation with its quote, its place and its mark."""
    found: dict[str, Any] = plain(citation)
    return found


def citation_of(data: Json) -> Citation:
    """Return the citation of ``citation_json``."""
    return read(Citation, data, lenient=True)


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as ``ask --trace --json`` and the server show it."""
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "grounded": answer.grounded,
        "sentences": plain(answer.sentences),
        "citations": [citation_json(citation) for citation in answer.citations],
        "passages": [passage_json(passage) for passage in answer.passages],
        "usage": usage_json(answer.usage),
        "trust": answer.trust,
        "seconds": dict(answer.seconds),
        "notes": list(answer.notes),
        "trace": trace_json(answer.trace),
    }


def answer_of(data: Json) -> Answer:
    """Return the answer of ``answer_json``."""
    plainly = ("abstained", "grounded", "usage", "trust", "seconds", "notes")
    rest = {key: data[key] for key in plainly if key in data}
    bare = read(Answer, rest | {"text": data["answer"]}, lenient=True)
    return Answer(
        bare.text,
        bare.abstained,
        bare.grounded,
        tuple(read(Sentence, one, lenient=True) for one in data.get("sentences", ())),
        tuple(citation_of(one) for one in data.get("citations", ())),
        tuple(passage_of(one) for one in data.get("passages", ())),
        bare.usage,
        bare.trust,
        bare.notes,
        bare.seconds,
        trace_of(data.get("trace", ())),
    )


def retrieved_json(event: Retrieved) -> dict[str, Any]:
    """Return the first event of an answer's stream."""
    passages = [passage_json(passage) for passage in event.passages]
    return {"question": event.question, "passages": passages, "trace": trace_json(event.trace)}


def delta_json(delta: Delta) -> dict[str, Any]:
    """Return a piece of an answer's text; tool calls and log-probabilities stay with the model."""
    usage = None if delta.usage is None else usage_json(delta.usage)
    return {
        "text": delta.text,
        "reasoning": delta.reasoning,
        "finish": delta.finish,
        "usage": usage,
    }


def delta_of(data: Json) -> Delta:
    """Return the piece of ``delta_json``."""
    known = {key: data[key] for key in ("text", "reasoning", "finish", "usage") if key in data}
    return read(Delta, known, lenient=True)


def turn_json(turn: Turn) -> dict[str, Any]:
    """Return a turn of a conversation."""
    found: dict[str, Any] = plain(turn)
    return found


def turn_of(data: Json) -> Turn:
    """Return the turn of ``turn_json``."""
    return read(Turn, data, lenient=True)


def document_json(document: Document) -> dict[str, Any]:
    """Return a document with its text and marks."""
    found: dict[str, Any] = plain(document)
    return found


def document_of(data: Json) -> Document:
    """Return the document of ``document_json``."""
    return read(Document, data, lenient=True)


def info_json(info: DocumentInfo) -> dict[str, Any]:
    """Return what is known of a document without its text."""
    return {**plain(info), **{name: info.meta.get(name) for name in _SHOWN}}


def info_of(data: Json) -> DocumentInfo:
    """Return what ``info_json`` was given."""
    unsaid = {"digest": "", "origin": "", "meta": {}, "readers": []}
    return read(DocumentInfo, unsaid | dict(data), lenient=True)


def report_json(report: IngestReport) -> dict[str, Any]:
    """Return an ingest's report as ``ingest --json`` and the server show it."""
    found: dict[str, Any] = plain(report)
    return found


def report_of(data: Json) -> IngestReport:
    """Return the report of ``report_json``."""
    return read(IngestReport, data, lenient=True)
