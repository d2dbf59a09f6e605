"""Questions on paragraphs in, an examination out: the base's paragraphs, the questions to ask.

Three kinds of question, measured apart: ``answerable`` (its paragraph is in the base and answers
it), ``impossible`` (its paragraph is in the base and only looks as if it did) and ``absent`` (its
paragraph was left out of the base).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ragstack.errors import InputError
from ragstack.types import Span
from ragstack_evals.answers import contained
from ragstack_evals.datasets import Question

__all__ = ["Asked", "Kind", "Plan", "choose", "sentences_of", "write_paragraphs"]

Kind = Literal["answerable", "impossible", "absent"]

# A sentence ends at . ! ? (and closing quotes or brackets) before white space and a new beginning.
_SENTENCE_END = re.compile(r"[.!?…][\"'»”’)\]]*\s+(?=[\"'«“‘(\[]*[A-ZÀ-ÖØ-Þ0-9])")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to ask, and what is right.

    Attributes:
        golds: Right answers; none for an impossible question. An absent one keeps its own.
        paragraph: Key of the paragraph in the base, or an empty string when it was left out.
        places: Spans of the paragraph's sentences that hold a gold answer.
        elsewhere: It is absent, yet a paragraph of the base holds a gold answer's words, so that an
            answer may be right by another source.
    """

    id: str
    question: str
    kind: Kind
    golds: tuple[str, ...]
    paragraph: str
    places: tuple[Span, ...]
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The paragraphs of the base by key, and the questions in the order they are asked."""

    language: str
    paragraphs: dict[str, str]
    asked: tuple[Asked, ...]


def choose(
    questions: Sequence[Question], *, count: int, paragraphs: int, language: str, seed: int
) -> Plan:
    """Return an examination of ``count`` questions over a base of ``paragraphs`` paragraphs.

    Half of the questions are answerable; the other half is shared by the kinds of unanswerable ones
    that there are. The order is mixed, so that the first questions of a run are a fair sample too.
    At most four fifths of the paragraphs go into the base, so that some are always absent.

    Raises:
        InputError: Too few questions or paragraphs to choose from.
    """
    if count < 1 or paragraphs < 1:
        raise InputError(f"questions and paragraphs must be above 0, got {count!r}, {paragraphs!r}")
    dice = random.Random(seed)
    contexts = list(dict.fromkeys(question.context for question in questions))
    if len(contexts) < 2:
        raise InputError(f"at least 2 paragraphs are needed, got {len(contexts)}")
    dice.shuffle(contexts)
    size = min(paragraphs, max(1, len(contexts) * 4 // 5))
    keys = {context: f"p{number:04d}" for number, context in enumerate(contexts[:size])}
    pools: dict[Kind, list[Question]] = {"answerable": [], "impossible": [], "absent": []}
    for question in questions:
        if question.context in keys:
            pools["impossible" if question.impossible else "answerable"].append(question)
        elif not question.impossible:
            pools["absent"].append(question)
    asked: list[Asked] = []
    for kind, share in _shares(pools, count).items():
        asked += [_asked(kind, question, keys) for question in dice.sample(pools[kind], share)]
    dice.shuffle(asked)
    base = {key: context for context, key in keys.items()}
    return Plan(language, base, tuple(_look_elsewhere(item, base, language) for item in asked))


def sentences_of(text: str) -> list[Span]:
    """Return the spans of a paragraph's sentences, which together cover it."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))


def write_paragraphs(plan: Plan, folder: Path) -> None:
    """Write each paragraph of the base as ``KEY.txt``, its characters untouched."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, text in plan.paragraphs.items():
        (folder / f"{key}.txt").write_bytes(text.encode("utf-8"))


def _shares(pools: dict[Kind, list[Question]], count: int) -> dict[Kind, int]:
    wanted: dict[Kind, int] = {"answerable": (count + 1) // 2}
    others: list[Kind] = [kind for kind in pools if kind != "answerable" and pools[kind]]
    rest = count - wanted["answerable"]
    for number, kind in enumerate(others):
        wanted[kind] = rest // len(others) + (number < rest % len(others))
    for kind, share in wanted.items():
        if share > len(pools[kind]):
            raise InputError(
                f"{share} questions of the kind {kind!r} are wanted, {len(pools[kind])} are there",
                hint="ask fewer questions, or change the number of paragraphs",
            )
    return wanted


def _asked(kind: Kind, question: Question, keys: dict[str, str]) -> Asked:
    places: list[Span] = []
    if kind == "answerable":
        for answer in question.answers:
            end = answer.start + len(answer.text)
            places += [
                (start, stop)
                for start, stop in sentences_of(question.context)
                if start < end and answer.start < stop
            ]
    return Asked(
        id=question.id,
        question=question.question,
        kind=kind,
        golds=tuple(dict.fromkeys(answer.text for answer in question.answers)),
        paragraph=keys.get(question.context, ""),
        places=tuple(dict.fromkeys(places)),
        elsewhere=False,
    )


def _look_elsewhere(asked: Asked, base: dict[str, str], language: str) -> Asked:
    if asked.kind != "absent":
        return asked
    found = any(
        contained(text, gold, language=language) for text in base.values() for gold in asked.golds
    )
    return Asked(
        asked.id, asked.question, asked.kind, asked.golds, asked.paragraph, asked.places, found
    )
