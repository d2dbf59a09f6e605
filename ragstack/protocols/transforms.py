"""Seams between a question and its search: transforms, reviewers, arrangers, and their desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Protocol, runtime_checkable

from ragstack.filters import Filter
from ragstack.types import DocumentInfo, Message, Passage, Scalar

__all__ = [
    "Arranger",
    "Desk",
    "Field",
    "Plan",
    "Query",
    "Review",
    "Reviewer",
    "Transform",
    "Verdict",
]

Verdict = Literal["", "answer", "ask_back", "abstain"]


@dataclass(frozen=True, slots=True)
class Query:
    """One search of a plan.

    Attributes:
        label: Who asked for it, as in ``multi_query.1``; the question itself is ``question``. In
            the trail of a passage as ``query.LABEL``, with its rank there.
        weight: What a rank in this search counts in reciprocal rank fusion.
        indexes: Slots searched; none are all. A slot that the base does not have is passed over.
    """

    text: str
    label: str = "question"
    weight: float = 1.0
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be searched for a question.

    Attributes:
        question: What is to be answered: as it was asked, or made to stand alone.
        where: A condition beside the caller's own and the asker's rights, never in their place.
        k: Passages wanted; None is the caller's number.
        style: Style of the answer; empty is the caller's.
        generator: Name of a generator under ``[generators]``; empty is the configured one.
        then: Names of transforms to apply after those that were asked for.
        reply: What is said without any search; empty: there is a search.
    """

    question: str
    queries: tuple[Query, ...]
    where: Filter | None = None
    k: int | None = None
    style: str = ""
    generator: str = ""
    then: tuple[str, ...] = ()
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the metadata of the documents that the asker may read.

    Attributes:
        type: ``date`` is text in which every value begins as ``YYYY`` or ``YYYY-MM-DD`` does.
        values: Distinct values, sorted, where there are few; empty where there are many.
        documents: How many documents have it.
    """

    name: str
    type: Literal["text", "number", "boolean", "date"]
    values: tuple[Scalar, ...] = ()
    documents: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """What a reviewer makes of what was found.

    Attributes:
        queries: To be searched too, and fused with what was found.
        verdict: Empty: no opinion, or, with queries, not yet.
        text: For ``ask_back`` the question to the asker; else empty.
    """

    queries: tuple[Query, ...] = ()
    verdict: Verdict = ""
    text: str = ""


class Desk(Protocol):
    """What a transform works with: it reaches the base and the generator through nothing else."""

    @property
    def language(self) -> str:
        """Of the question, ``en`` or ``fr``; prompts are in it."""
        ...

    @property
    def today(self) -> date:
        """The day it is taken to be."""
        ...

    @property
    def history(self) -> str:
        """The conversation so far as text, empty where there is none."""
        ...

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the indexes."""
        ...

    def documents(self) -> Sequence[DocumentInfo]:
        """Return what is known of the documents that the asker may read, by source."""
        ...

    def fields(self) -> tuple[Field, ...]:
        """Return the metadata fields of what the asker may read, by name."""
        ...

    def matching(self, where: Filter) -> int:
        """Return how many documents that the asker may read match a condition."""
        ...

    def ask(
        self, messages: Sequence[Message], shape: Mapping[str, object], *, max_tokens: int
    ) -> Mapping[str, Any]:
        """Return what the generator writes under the JSON schema of an object.

        Empty where nothing usable came: then the reason is noted, and a transform leaves the plan
        as it is.

        Raises:
            UnsupportedCapability: The generator cannot be held to a JSON schema.
        """
        ...

    def write(
        self, prompt: str, shape: Mapping[str, object], *, max_tokens: int, **values: str
    ) -> Mapping[str, Any]:
        """Return what ``ask`` does for one of ragstack's own prompts: ``transform.NAME``."""
        ...

    def trust(self, question: str, passages: Sequence[Passage]) -> tuple[bool, float | None]:
        """Return whether the passages hold the answer, and the judge's trust where it scores."""
        ...

    def say(self, name: str, **values: str) -> str:
        """Return a text to the asker, ``transform.NAME``, in the question's language."""
        ...

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        ...

    def tell(self, line: str) -> None:
        """Add a line that whoever reads the answer should know, and the trace too."""
        ...


@runtime_checkable
class Transform(Protocol):
    """A plan in, a plan out. Deterministic but for what the generator writes; searches nothing."""

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with what this transform adds; where it has nothing to add, the same.

        Any text is a question: empty of words, very long, in any language, or an instruction.
        """
        ...


@runtime_checkable
class Reviewer(Protocol):
    """Looks at what was found; asked again after each search it wished for."""

    def review(self, plan: Plan, passages: Sequence[Passage], desk: Desk, *, step: int) -> Review:
        """Return queries still to be searched, or a verdict.

        What stands in passages is data, never an instruction.

        Args:
            step: 0 for the first look; the reviewer itself bounds how often it wishes for more.
        """
        ...


@runtime_checkable
class Arranger(Protocol):
    """Puts what was found into another order, or leaves some out; adds nothing."""

    def arrange(self, plan: Plan, passages: Sequence[Passage], desk: Desk) -> list[Passage]:
        """Return passages of these, best first."""
        ...
