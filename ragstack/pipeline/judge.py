"""Whether the passages hold the answer: a brief answer, and how sure the generator is of it.

A small model told to refuse refuses too often and too seldom at once, so its word alone is not
taken. It is asked for numbers: the log-odds of «yes» against «no» to «do the passages state the
answer?», and the log-probability that the brief answer is a refusal. Beside them count what it does
not see well: how far the best passage stood out in the search, how many were about equally near,
how much of what is asked about one passage speaks of, and how much of it stands where the answer
does. The prompts share everything up to their last line, so a generator that reuses prefixes reads
the passages once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.generate.prompts import Prompts
from ragstack.pipeline.as_written import as_written
from ragstack.pipeline.cover import around_answer, in_one_passage
from ragstack.pipeline.words import fold
from ragstack.protocols import Generator, Scorer
from ragstack.types import Delta, Message, Sampling, Usage

__all__ = ["BRIEF_TOKENS", "Case", "Judgement", "judge", "refuses"]

BRIEF_TOKENS = 48

_LEAST_LOGPROB = -10.0  # below this a refusal is out of the question, whatever the number


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged.

    Attributes:
        apart: How far the best passage stood out among the candidates of the search, where known.
    """

    question: str
    passages: Sequence[str]
    apart: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A brief answer and the trust in it.

    Attributes:
        brief: The shortest answer; empty when the generator gave none.
        trust: How sure the generator is that the passages hold the answer, 0 being just enough
            by default; None when it cannot score, and then its own word counts.
        usage: What it took.
    """

    brief: str
    trust: float | None
    usage: Usage

    def sufficient(self, doubt: float) -> bool:
        """Return whether the passages are taken to hold the answer."""
        return bool(self.brief) and (self.trust is None or self.trust >= doubt)


def judge(
    generator: Generator, scorer: Scorer | None, prompts: Prompts, case: Case, *, doubt: float
) -> Judgement:
    """Return a brief answer from the passages, and the trust that they hold it.

    Args:
        doubt: The trust below which no answer is asked for.
    """
    asked = prompts.answering(case.passages, case.question, "answer.brief")
    trust, rule = None, prompts.trust
    if scorer is not None:
        trust = _trust(scorer, prompts, asked, case)
        if trust + rule.near_weight < doubt:
            # Not even an answer in the midst of all that is asked about would do.
            return Judgement("", trust, Usage(prompt_tokens=generator.count_tokens(asked)))
    brief, usage = _ask(generator, asked)
    if refuses(brief, prompts) and scorer is not None:
        # It is trusted to know, so it is asked without leave to refuse.
        brief, more = _ask(
            generator, prompts.answering(case.passages, case.question, "answer.pressed")
        )
        usage += more
    if not refuses(brief, prompts):
        brief = as_written(brief, case.passages)
    if trust is not None:
        trust += rule.near_weight * around_answer(case.question, brief, case.passages)
    return Judgement("" if refuses(brief, prompts) else brief, trust, usage)


def refuses(text: str, prompts: Prompts) -> bool:
    """Return whether a text says that the passages do not hold the answer."""
    folded = fold(text)
    return not folded.strip() or any(fold(p) in folded for p in prompts.lists["answer.refusals"])


def _trust(scorer: Scorer, prompts: Prompts, asked: Sequence[Message], case: Case) -> float:
    """Return the trust before an answer is known."""
    check = prompts.answering(case.passages, case.question, "check.ask")
    yes, no = prompts.lists["check.yes"], prompts.lists["check.no"]
    logs = [sum(row) for row in scorer.logprobs(check, [*yes, *no])]
    odds = _log_sum(logs[: len(yes)]) - _log_sum(logs[len(yes) :])
    # Last, because the answer is asked for with the same messages.
    (refusal,) = scorer.logprobs(asked, [prompts.texts["answer.refusal"]])
    rule = prompts.trust
    improbable = rule.refusal_weight * -max(sum(refusal), _LEAST_LOGPROB)
    covered = rule.cover_weight * in_one_passage(case.question, case.passages)
    apart = rule.apart_weight * (rule.apart_usual if case.apart is None else case.apart)
    spread = rule.spread_weight * (len(case.passages) - 1)
    eased = rule.open_added if _is_open(case.question, prompts) else 0.0
    return odds + improbable + covered + apart + eased - spread - rule.needed


def _is_open(question: str, prompts: Prompts) -> bool:
    """Return whether a question asks how or why, and not how much."""
    begins = fold(question).lstrip()
    measured = tuple(prompts.lists["check.measured"])
    return begins.startswith(tuple(prompts.lists["check.open"])) and not begins.startswith(measured)


def _log_sum(logs: Sequence[float]) -> float:
    return math.log(sum(math.exp(log) for log in logs)) if max(logs) > -700 else max(logs)


def _ask(generator: Generator, messages: Sequence[Message]) -> tuple[str, Usage]:
    sampling = Sampling(max_tokens=BRIEF_TOKENS, stop=("\n",))
    deltas: list[Delta] = list(generator.stream(messages, sampling=sampling))
    usage = next((delta.usage for delta in reversed(deltas) if delta.usage), Usage())
    return "".join(delta.text for delta in deltas).strip(), usage
