"""Options in, what is measured at which size out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ragstack.errors import InputError

__all__ = ["PARTS", "Plan", "planned"]

# Name of each part, and what it measures.
PARTS: Mapping[str, str] = {
    "one": "one stream: tokens read and written a second",
    "rag": "streams at once: distinct RAG prompts, short answers",
    "long": "streams at once: short prompts, long answers",
    "late": "an interactive request behind seven long ones",
    "prefix": "first token: cold, and with a shared prefix",
    "chat": "a conversation of ten turns",
    "agent": "an agent of eight steps under a schema",
    "quotes": "answers that quote: with and without guesses",
}
_STREAMS = (1, 2, 4, 8, 16)
_LARGE_BYTES = 800_000_000
_LARGE_RAG = 8  # sixteen prompts of 600 tokens, four times over, take a large model five minutes


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, in tokens and times.

    Attributes:
        rag_streams: Streams of RAG prompts; ``long_streams`` of long answers.
        rounds: The most rounds; after the first, a part is repeated while the minutes last.
        repeats: How often in a round what takes seconds is measured.
    """

    parts: tuple[str, ...] = tuple(PARTS)
    rag_streams: tuple[int, ...] = _STREAMS
    long_streams: tuple[int, ...] = _STREAMS
    rounds: int = 3
    minutes: float = 12.0
    repeats: int = 3
    one_prompt: int = 512
    one_answer: int = 64
    rag_prompt: int = 600
    rag_answer: int = 32
    long_answer: int = 96
    prefix: int = 400
    talk_prompt: int = 300
    talk_answer: int = 40
    turns: int = 10
    steps: int = 8
    step_answer: int = 96
    observation: int = 60
    quote_prompt: int = 500
    quote_answer: int = 96

    @property
    def most(self) -> int:
        """Streams that every contestant is opened for."""
        return max(*self.rag_streams, *self.long_streams, 8)

    @property
    def window(self) -> int:
        """Tokens of one conversation, whatever the part."""
        return 4096 if self.most <= _LARGE_RAG else 2048


_QUICK = Plan(
    rag_streams=(1, 2),
    long_streams=(1, 2),
    rounds=1,
    minutes=2.0,
    repeats=1,
    one_prompt=128,
    one_answer=16,
    rag_prompt=150,
    rag_answer=8,
    long_answer=16,
    prefix=120,
    talk_prompt=100,
    talk_answer=12,
    turns=3,
    steps=2,
    step_answer=64,
    observation=20,
    quote_prompt=150,
    quote_answer=24,
)


def planned(
    size: int,
    *,
    only: Sequence[str] = (),
    streams: Sequence[int] = (),
    rounds: int = 0,
    minutes: float = 0.0,
    quick: bool = False,
) -> Plan:
    """Return the plan for a model of so many bytes.

    Raises:
        InputError: No part has a name, or a number is out of range.
    """
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise InputError(f"no part {unknown[0]!r}, expected one of {', '.join(PARTS)}")
    if any(not 1 <= count <= 64 for count in streams) or rounds < 0 or minutes < 0:
        raise InputError(
            f"streams={list(streams)}, rounds={rounds}, minutes={minutes}: "
            "expected 1 to 64 streams, and neither of the others below 0"
        )
    plan = _QUICK if quick else Plan()
    if not quick and size > _LARGE_BYTES:
        plan = replace(plan, rag_streams=tuple(n for n in _STREAMS if n <= _LARGE_RAG))
    if streams:
        plan = replace(plan, rag_streams=tuple(streams), long_streams=tuple(streams))
    return replace(
        plan,
        parts=tuple(name for name in PARTS if not only or name in only),
        rounds=rounds or plan.rounds,
        minutes=minutes or plan.minutes,
    )
