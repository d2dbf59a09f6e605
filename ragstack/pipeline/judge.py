"""Whether the passages hold the answer: a brief answer, and how sure the generator is of it.

A small model told to refuse refuses too often and too seldom at once, so its word alone is not
taken: it answers briefly, with leave to refuse; where it refused it is asked once more without that
leave; and its log-odds of «yes» against «no», to «do the passages state the answer?» and to «is
this the correct answer?», decide together. The prompts share everything up to their last line, so a
generator that reuses prefixes reads the passages once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ragstack.generate.prompts import Prompts
from ragstack.pipeline.words import fold
from ragstack.protocols import Generator, Scorer
from ragstack.types import Delta, Message, Sampling, Usage

__all__ = ["Judgement", "ScoringGenerator", "judge", "refuses"]

BRIEF_TOKENS = 48


class ScoringGenerator(Generator, Scorer, Protocol):
    """A generator that can also say how likely it finds a text."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A brief answer and the trust in it.

    Attributes:
        brief: The shortest answer; empty when the generator gave none.
        refused: It refused when it had leave to.
        odds: Sum of the log-odds of both checks; NaN when the generator cannot score.
        usage: What it took.
    """

    brief: str
    refused: bool
    odds: float
    usage: Usage

    def sufficient(self, *, doubt: float, doubt_refused: float) -> bool:
        """Return whether the passages are taken to hold the answer.

        Args:
            doubt: Log-odds needed by an answer that was given freely.
            doubt_refused: Log-odds needed by one that was given only when asked again.
        """
        if not self.brief:
            return False
        if math.isnan(self.odds):
            return not self.refused
        return self.odds >= (doubt_refused if self.refused else doubt)


def judge(
    generator: Generator,
    scorer: Scorer | None,
    prompts: Prompts,
    *,
    passages: str,
    question: str,
) -> Judgement:
    """Return a brief answer from the passages and the log-odds that it is right."""
    brief, usage = ask(generator, _messages(prompts, passages, question, "answer.brief"))
    refused = refuses(brief, prompts)
    if scorer is None:
        return Judgement("" if refused else brief, refused, math.nan, usage)
    stated = _odds(scorer, prompts, _messages(prompts, passages, question, "check.ask"))
    if refused:
        pressed = _messages(prompts, passages, question, "answer.pressed")
        brief, more = ask(generator, pressed)
        usage += more
        if not brief or refuses(brief, prompts):
            return Judgement("", True, -math.inf, usage)
    instruction = prompts.render("check.verify", answer=brief)
    right = _odds(scorer, prompts, _with(prompts, passages, question, instruction))
    return Judgement(brief, refused, stated + right, usage)


def _odds(scorer: Scorer, prompts: Prompts, messages: Sequence[Message]) -> float:
    """Return the log-odds of yes against no as the reply."""
    replies = [prompts.texts["check.yes"], prompts.texts["check.no"]]
    yes, no = (sum(logs) for logs in scorer.logprobs(messages, replies))
    return yes - no


def refuses(text: str, prompts: Prompts) -> bool:
    """Return whether a text says that the passages do not hold the answer."""
    folded = fold(text)
    return not folded.strip() or any(fold(p) in folded for p in prompts.lists["answer.refusals"])


def ask(generator: Generator, messages: Sequence[Message]) -> tuple[str, Usage]:
    """Return a brief reply, its first line alone, and what it took."""
    sampling = Sampling(max_tokens=BRIEF_TOKENS, stop=("\n",))
    deltas: list[Delta] = list(generator.stream(messages, sampling=sampling))
    usage = next((delta.usage for delta in reversed(deltas) if delta.usage), Usage())
    return "".join(delta.text for delta in deltas).strip(), usage


def _messages(prompts: Prompts, passages: str, question: str, name: str) -> list[Message]:
    return _with(prompts, passages, question, prompts.texts[name])


def _with(prompts: Prompts, passages: str, question: str, instruction: str) -> list[Message]:
    user = prompts.render(
        "answer.user", passages=passages, question=question, instruction=instruction
    )
    return [Message("system", prompts.texts["answer.system"]), Message("user", user)]
