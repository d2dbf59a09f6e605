"""Results in, each target of the engine with what was found and whether it is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ragstack_evals.contest.parts import BARE, GUESSING, LANGCHAIN, OURS, SERVER
from ragstack_evals.contest.results import Results

__all__ = ["ELSEWHERE", "Target", "targets"]

_CROWD = "8"
_SLACK = 8  # tokens: the last one of an answer is never read, and may be cut otherwise as text

ELSEWHERE = (
    "200 clients for five minutes with random cancels: make soak",
    "1,000 random schemas parse: tests/integration/test_constraints.py",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What was wanted, and found.

    Attributes:
        found: None where it was not measured.
        sense: Whether ``bound`` is the least or the most that is wanted.
    """

    name: str
    bound: float
    sense: Literal["least", "most"]
    found: float | None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is met; None where it was not measured."""
        if self.found is None:
            return None
        return self.found >= self.bound if self.sense == "least" else self.found <= self.bound


def targets(
    results: Results, *, step_ms: float | None, draw_ms: Mapping[str, float]
) -> list[Target]:
    """Return every target that this bench can tell of.

    Args:
        step_ms: Milliseconds of the scheduler a step.
        draw_ms: Milliseconds of a draw, by sampling setting; the slowest counts.
    """
    slowest = max(draw_ms, key=draw_ms.__getitem__, default="")

    def ratio(part: str, cell: str, other: str, measure: str = "rate") -> float | None:
        return results.ratio(part, cell, (OURS, other), measure)

    sooner = results.ratio("late", "", (LANGCHAIN, OURS), "first_s")
    least: Sequence[tuple[str, float, float | None]] = (
        ("one stream, reading / bare", 0.97, ratio("one", "", BARE, "prefill")),
        ("one stream, writing / bare", 0.97, ratio("one", "", BARE, "decode")),
        ("8 streams, long answers / bare loop", 0.95, ratio("long", _CROWD, BARE)),
        ("8 streams, RAG prompts / bare loop", 0.95, ratio("rag", _CROWD, BARE)),
        ("8 streams, long answers / llama-server", 1.0, ratio("long", _CROWD, SERVER)),
        ("8 streams, RAG prompts / llama-server", 1.0, ratio("rag", _CROWD, SERVER)),
        ("8 streams, long answers / ChatLlamaCpp", 1.5, ratio("long", _CROWD, LANGCHAIN)),
        ("8 streams, RAG prompts / ChatLlamaCpp", 1.1, ratio("rag", _CROWD, LANGCHAIN)),
        ("behind seven long ones: times sooner than ChatLlamaCpp", 3.0, sooner),
    )
    median = results.median
    most: Sequence[tuple[str, float, float | None, str]] = (
        ("shared prefix: first token / cold", 0.1, median("prefix", "", OURS, "share"), ""),
        ("ten turns: read beyond what is new", _SLACK, _most(results), "tokens"),
        ("scheduler, a step", 0.3, step_ms, "ms"),
        (f"sampling, a draw (slowest: {slowest})", 0.3, draw_ms.get(slowest), "ms"),
    )
    return [
        *(Target(name, bound, "least", found) for name, bound, found in least),
        *(Target(name, bound, "most", found, unit) for name, bound, found, unit in most),
    ]


def _most(results: Results) -> float | None:
    return max(results.values("chat", "", GUESSING, "over"), default=None)
