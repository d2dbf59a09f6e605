"""An answer and the scorer that may judge it in, doubt from 0 to 1 out; and how to calibrate it.

Knows nothing of who wrote the answer, or of what is done about it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ragstack.errors import ConfigError, InputError
from ragstack.protocols import Scorer
from ragstack.types import Message

__all__ = ["Calibration", "Measure", "evidence", "fit"]

Measure = Literal["logprob", "verdict"]

_ASKED = "Is the answer above right and complete? Reply with yes or no alone."
_STEPS = 50
_LARGEST = 500.0  # exp of more overflows


@dataclass(frozen=True, slots=True)
class Calibration:
    """How evidence becomes doubt: 1 - sigmoid(slope * evidence + offset), Platt's scaling.

    J. Platt, «Probabilistic outputs for support vector machines», 1999. The default leaves a
    verdict as the model gives it; a mean log-probability needs one fitted by ``fit``.
    """

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: One is no finite number, or more evidence would mean more doubt.
        """
        if not (math.isfinite(self.slope) and math.isfinite(self.offset) and self.slope >= 0):
            raise ConfigError(
                f"a calibration has slope {self.slope!r} and offset {self.offset!r}, "
                "expected finite numbers and a slope of 0 or more"
            )

    @classmethod
    def read(cls, given: Mapping[str, float]) -> Calibration:
        """Return the one that a configuration names by ``slope`` and ``offset``.

        Raises:
            ConfigError: Something else stands there.
        """
        if set(given) - {"slope", "offset"} or not all(
            isinstance(value, (int, float)) for value in given.values()
        ):
            raise ConfigError(f"a calibration is {dict(given)!r}, expected slope and offset")
        return cls(float(given.get("slope", 1.0)), float(given.get("offset", 0.0)))

    def doubt(self, evidence: float) -> float:
        """Return the probability that the answer is wrong."""
        return 1.0 - _sigmoid(self.slope * evidence + self.offset)


def evidence(scorer: Scorer, messages: Sequence[Message], answer: str, measure: Measure) -> float:
    """Return how much speaks for an answer: more is better.

    Args:
        measure: ``logprob``: the mean log-probability of the answer's tokens. ``verdict``: the log
            of the odds of yes against no, the scorer being asked whether the answer is right.
    """
    if measure == "logprob":
        (row,) = scorer.logprobs(messages, [answer])
        return sum(row) / len(row) if row else -math.inf
    asked = (*messages, Message("assistant", answer), Message("user", _ASKED))
    yes, no = scorer.logprobs(asked, ["yes", "no"])
    return sum(yes) - sum(no)


def fit(seen: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Return the calibration that fits evidence seen on answers known to be right or wrong.

    Logistic regression by Newton's method, with Platt's targets, which keep it from being surer
    than so few examples allow. (H.-T. Lin et al., «A note on Platt's probabilistic outputs», 2007.)

    Raises:
        InputError: There are not as many of one as of the other, or not both right and wrong ones.
    """
    good = sum(right)
    if len(seen) != len(right) or not 0 < good < len(right):
        raise InputError(
            f"{len(seen)} pieces of evidence and {len(right)} judgements of which {good} are "
            "right, expected as many, with right and wrong among them"
        )
    if not all(math.isfinite(x) for x in seen):
        raise InputError("a piece of evidence is no finite number")
    high, low = (good + 1) / (good + 2), 1 / (len(right) - good + 2)
    pairs = [(x, high if ok else low) for x, ok in zip(seen, right, strict=True)]
    slope, offset = 0.0, math.log((good + 1) / (len(right) - good + 1))
    for _ in range(_STEPS):
        slope, offset, moved = _newton(pairs, slope, offset)
        if moved < 1e-10:
            break
    # Evidence that speaks the wrong way says nothing: all answers get the mean doubt.
    if slope < 0:
        return Calibration(0.0, math.log((good + 1) / (len(right) - good + 1)))
    return Calibration(slope, offset)


def _newton(
    pairs: Sequence[tuple[float, float]], slope: float, offset: float
) -> tuple[float, float, float]:
    """Return slope and offset after the longest halved step that lowers the loss, and its size."""
    gs = go = 0.0
    hss = hoo = 1e-9  # keeps the matrix regular where all evidence is the same
    hso = 0.0
    for x, target in pairs:
        p = _sigmoid(slope * x + offset)
        d, w = p - target, p * (1.0 - p)
        gs, go = gs + d * x, go + d
        hss, hso, hoo = hss + w * x * x, hso + w * x, hoo + w
    determinant = hss * hoo - hso * hso
    ds, do = (hoo * gs - hso * go) / determinant, (hss * go - hso * gs) / determinant
    before, step = _loss(pairs, slope, offset), 1.0
    while step > 1e-8:
        tried = slope - step * ds, offset - step * do
        if _loss(pairs, *tried) < before:
            return *tried, step * (abs(ds) + abs(do))
        step /= 2
    return slope, offset, 0.0


def _loss(pairs: Sequence[tuple[float, float]], slope: float, offset: float) -> float:
    """Return the cross entropy, in the form that does not overflow."""
    total = 0.0
    for x, target in pairs:
        z = slope * x + offset
        total += max(z, 0.0) - z * target + math.log1p(math.exp(-min(abs(z), _LARGEST)))
    return total


def _sigmoid(x: float) -> float:
    x = min(max(x, -_LARGEST), _LARGEST)
    return 1.0 / (1.0 + math.exp(-x))
