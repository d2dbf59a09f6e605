"""A question in, the events of its answer out: from the cache, or found, judged, written, checked.

Joins finding and answering; knows neither how passages are found nor how answers are made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ragstack.errors import InputError
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.answer import STYLES
from ragstack.pipeline.find import Finder, Search
from ragstack.pipeline.kept import Cached
from ragstack.pipeline.parts import Parts
from ragstack.pipeline.remember import Remembered
from ragstack.pipeline.transforms.run import Found
from ragstack.types import Answer, Delta, Event, Retrieved, TraceStep, Usage

__all__ = ["Asking", "Manner"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer is to be written.

    Attributes:
        style: None is the configuration's.
        quotes: Quotes first, as of ``Stack.stream``; None is the configuration's choice.
    """

    style: str | None = None
    quotes: bool | None = None


@dataclass(frozen=True)
class Asking:
    """Answers questions from a base. Safe to use from many threads."""

    parts: Parts
    finder: Finder
    prompts: Callable[[str], Prompts]

    def stream(self, question: str, search: Search, manner: Manner) -> Iterator[Event]:
        """Yield what was found, the text as it comes, the checked Answer with its trace.

        Raises:
            InputError: An unknown style.
        """
        begun = time.perf_counter()
        config = self.parts.config.answer
        style = manner.style or config.style
        if style not in STYLES:
            raise InputError(f"unknown style {style!r}; known: {', '.join(STYLES)}")
        quotes = config.quotes if manner.quotes is None else manner.quotes
        remembered = self._remembered(question, search, (style, quotes))
        if remembered is not None and (known := remembered.get()) is not None:
            yield from _again(question, known, time.perf_counter() - begun)
            return
        found = self.finder.find(question, replace(search, k=search.k or config.k))
        yield Retrieved(found.passages, found.plan.question, found.trace)
        took = time.perf_counter() - begun
        for event in self._answered(found, search, style=style, quotes=quotes):
            if not isinstance(event, Answer):
                yield event
                continue
            answer = _complete(event, found, took)
            if remembered is not None:
                remembered.put(answer)
            yield answer

    def _answered(
        self, found: Found, search: Search, *, style: str, quotes: bool
    ) -> Iterator[Event]:
        plan = found.plan
        prompts = self.prompts(plan.question)
        ended = {
            "ask_back": found.text,
            "abstain": prompts.texts["abstain.not_answered"],
        }.get(found.verdict, plan.reply)
        if ended:
            yield Answer(ended, abstained=True, grounded=False, passages=found.passages)
            return
        chosen = plan.style or style
        if chosen not in STYLES:
            raise InputError(f"a transform chose the style {chosen!r}; known: {', '.join(STYLES)}")
        answerer = self.finder.answerer(search.collection, plan.generator)
        yield from answerer.stream(
            plan.question, found.passages, prompts=prompts, style=chosen, quotes=quotes
        )

    def _remembered(
        self, question: str, search: Search, manner: tuple[str, bool]
    ) -> Remembered | None:
        if self.parts.answers is None or search.conversation:
            return None
        self.finder.ready(search.collection)
        return Remembered(
            self.parts,
            question,
            search,
            self.prompts(question),
            (self.finder.names(search), *manner),
        )


def _complete(answer: Answer, found: Found, took: float) -> Answer:
    """Return the answer with what finding its passages took and told."""
    seconds = sum(answer.seconds.values())
    trust = "" if answer.trust is None else f"trust {answer.trust:.2f}, "
    outcome = "abstained" if answer.abstained else f"{len(answer.citations)} citations"
    step = TraceStep("answer", (trust + outcome,), seconds, answer.usage)
    return replace(
        answer,
        usage=found.usage + answer.usage,
        notes=(*answer.notes, *found.told),
        seconds={"retrieve": took, **answer.seconds},
        trace=(*found.trace, step),
    )


def _again(question: str, known: Cached, took: float) -> Iterator[Event]:
    """Yield the events of an answer that was given before."""
    line = f"answered before: {known.question} (cosine {known.cosine:.3f})"
    trace = (TraceStep("cache", (line,), took),)
    answer = replace(known.answer, usage=Usage(), seconds={"cache": took}, trace=trace)
    yield Retrieved(answer.passages, question, trace)
    if not answer.abstained:
        yield Delta(text=answer.text)
    yield answer
