"""A question, its answer and a generator in; what each passage did for the answer out.

A passage is left out, and the answer's probability is taken again: what it loses is the passage's
doing (leave-one-out; Cohen-Wang et al. 2024, "ContextCite", arXiv:2409.00729, section 2). Passages
that say the same share the credit badly: without either, the other still gives the answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from ragstack.errors import InputError, UnsupportedCapability
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.answer import STYLES, Answerer, shown_as
from ragstack.pipeline.cite import without_markers
from ragstack.pipeline.pack import Block
from ragstack.protocols import Attributor, Generator, Scorer
from ragstack.types import Answer, Attributed, Attribution, Influence, Message, PromptPart

__all__ = ["Said", "attribute"]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, what it was asked, and in which style."""

    question: str
    answer: Answer
    style: str


def attribute(answerer: Answerer, said: Said, prompts: Prompts, *, exact: bool) -> Attribution:
    """Return what each passage of an answer did for it.

    Args:
        exact: Read the prompt anew without each passage, in any case.

    Raises:
        InputError: An unknown style, or an answer without text.
        UnsupportedCapability: The generator gives no log-probabilities.
    """
    begun = time.perf_counter()
    if said.style not in STYLES:
        raise InputError(f"unknown style {said.style!r}; known: {', '.join(STYLES)}")
    text = without_markers(said.answer.text).strip()
    if not text:
        raise InputError("the answer has no text")
    _check(answerer.generator)
    blocks = answerer.blocks(said.question, said.answer.passages, prompts, said.style)
    if said.answer.abstained or not blocks:
        # No passage made it: the words are the house's own.
        return Attribution(text, (), 0.0, exact, time.perf_counter() - begun)
    shown = [shown_as(block) for block in blocks]
    messages = prompts.answering(shown, said.question, f"answer.{said.style}")
    last = len(messages) - 1
    places = prompts.places(shown, messages[last].text)
    parts = [PromptPart(last, start, end) for start, end in places]
    found = _influence(answerer.generator, messages, parts, text, exact=exact)
    return Attribution(
        text, _shared(blocks, found), found.whole, found.exact, time.perf_counter() - begun
    )


def _check(generator: Generator) -> None:
    can = generator.capabilities
    if not (can.attribution or can.logprobs):
        raise UnsupportedCapability(
            f"{generator.name!r} gives no log-probabilities, so what made its answer likely cannot "
            "be told",
            hint='a local model does: use = "local" under [generate]',
        )


def _influence(
    generator: Generator,
    messages: Sequence[Message],
    parts: Sequence[PromptPart],
    answer: str,
    *,
    exact: bool,
) -> Influence:
    if generator.capabilities.attribution:
        attributor = cast(Attributor, generator)
        return attributor.attribute(messages, parts, answer, exact=exact)
    scorer = cast(Scorer, generator)
    prompts = [messages, *(_without(messages, part) for part in parts)]
    whole, *without = (sum(scorer.logprobs(prompt, [answer])[0]) for prompt in prompts)
    return Influence(whole, tuple(without), exact=True)


def _without(messages: Sequence[Message], part: PromptPart) -> list[Message]:
    left = list(messages)
    text = left[part.message].text
    left[part.message] = replace(left[part.message], content=text[: part.start] + text[part.end :])
    return left


def _shared(blocks: Sequence[Block], found: Influence) -> tuple[Attributed, ...]:
    """Return each block with its score and its share of all that spoke for the answer."""
    total = sum(max(score, 0.0) for score in found.scores)
    return tuple(
        Attributed(
            document_id=block.document_id,
            source=block.source,
            start=block.start,
            end=block.end,
            text=block.text,
            chunk_ids=tuple(passage.chunk.id for passage in block.passages),
            score=score,
            share=max(score, 0.0) / total if total > 0 else 0.0,
        )
        for block, score in zip(blocks, found.scores, strict=True)
    )
