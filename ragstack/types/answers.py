"""Answers, and everything needed to check them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ragstack.types.documents import Mark
from ragstack.types.generation import Delta, Usage
from ragstack.types.retrieval import Passage

__all__ = [
    "Answer",
    "Attributed",
    "Attribution",
    "Citation",
    "Event",
    "Retrieved",
    "Sentence",
    "Turn",
    "Verdict",
]

Verdict = Literal["verbatim", "supported", "unsupported"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A verbatim quote and its place in its document.

    Attributes:
        marker: The number shown in the answer, as in ``[1]``.
        start: Where the quote begins in the document's text.
        quote: ``document.text[start:end]``, always.
        verdict: ``verbatim``: the answer repeats the source's words; ``supported``: the source says
            it in other words; ``unsupported`` is a sentence's verdict, never a citation's.
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
        trust: How sure the generator was that the passages hold the answer, in nats above what is
            just enough; None where it cannot say.
        notes: Things the reader should know: a fallback model, a truncated context.
        seconds: Wall-clock time by step: ``{"retrieve": 0.02, "generate": 1.3}``.
    """

    text: str
    abstained: bool
    grounded: bool
    sentences: tuple[Sentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    usage: Usage = field(default_factory=Usage)
    trust: float | None = None
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attributed:
    """A passage as the generator read it, and what it did for the answer.

    Attributes:
        chunk_ids: The chunks it was put together from.
        text: ``document.text[start:end]``.
        score: Nats: how much likelier the answer is with it than without it; under 0 where it
            speaks against the answer.
        share: Its part of all that spoke for the answer, from 0 to 1.
    """

    document_id: str
    source: str
    start: int
    end: int
    text: str
    chunk_ids: tuple[str, ...]
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which passages made an answer likely, by leaving each of them out.

    Attributes:
        parts: In the order the generator read them; none where the answer abstained.
        logprob: Of the answer with all of them, in nats.
        exact: Each prompt was read anew, and nothing knew of the passage left out; else it was
            forgotten from what had been read.
        seconds: What it took.
    """

    answer: str
    parts: tuple[Attributed, ...]
    logprob: float
    exact: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, its answer, and the question as it was searched: rewritten to stand alone."""

    question: str
    answer: str
    standalone: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The first event of an answer's stream: what was found and how the question was searched."""

    passages: tuple[Passage, ...]
    question: str


Event = Retrieved | Delta | Answer
"""What ``Stack.stream`` yields: what was found, the text as it comes, the checked answer."""
