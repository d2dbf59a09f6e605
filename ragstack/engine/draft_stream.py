"""Costs and past success in, whether and how far a draft model guesses for one request out.

Used on the engine's thread but for being made.
"""

from __future__ import annotations

from collections.abc import Callable

from ragstack.engine.costs import Costs, Room
from ragstack.engine.draft_check import needed
from ragstack.engine.draft_model import LIVE, MOST, NEAR, DraftModel, Followed
from ragstack.errors import GenerationError

__all__ = ["DraftStream", "foretold"]

_RETRY = 16  # every so many requests the belief is set back to the first one
_SMOOTHING, _SLOW = 0.8, 0.95


class DraftStream:
    """What guesses for one request."""

    def __init__(self, model: DraftModel, *, sampled: bool) -> None:
        self._model = model
        self._text = Followed()
        self._sampled = sampled
        self._belief: float | None = None  # until it is first asked

    def follow(self, tokens: list[int]) -> None:
        """Guess what comes after these tokens, to which their owner adds as they come."""
        self._text.tokens = tokens

    def plan(self, room: Room, left: int) -> tuple[int, float]:
        """Return how many tokens to guess, and how many a second that promises to make.

        Args:
            left: Tokens that may still be guessed.
        """
        if self._text.lost or self._model.off or room.at_work > LIVE:
            return 0, 0.0
        count, speed = room.plan(self._rate(), most=min(MOST, left), each_s=self._model.token_s)
        if not count or not self._model.begin(self._text):
            return 0, 0.0
        lacking = len(self._text.tokens) - len(self._text.held)
        if lacking > NEAR:
            # What it has to read first must come back over the rest of the answer.
            rest = min(left, self._model.typical)
            saved = rest * room.writing * (1.0 / room.plan(0.0, most=0)[1] - 1.0 / speed)
            if saved <= self._model.reading_s(lacking):
                return 0, 0.0
        return count, speed

    def guess(
        self,
        room: Room,
        count: int,
        speed: float,
        fitting: Callable[[list[int]], list[int]],
    ) -> list[int]:
        """Return up to so many tokens that may come next.

        Args:
            speed: Tokens a second that were promised: what a moment is worth.
            fitting: Cuts what the grammar forbids.
        """
        self._text.doubted = False
        costs, writing = room.costs, room.writing
        row_s = (costs.step(writing + count) - costs.step(writing)) / count
        try:
            found = self._model.continuation(self._text, count, row_s * speed)
        except GenerationError as error:  # the answer goes on without it
            self._model.switch_off(f"it failed: {error.message}")
            return []
        kept = fitting(found)
        self._text.doubted = self._text.doubted or len(kept) < len(found)
        return kept

    def learn(self, guessed: int, right: int) -> None:
        """Take note of how far the last guess was right."""
        tests = right + (right < guessed or self._text.doubted)
        if not tests:
            return
        model, share = self._model, right / tests
        model.asked += 1
        model.guessed += guessed
        model.right += right
        self._belief = self._rate() + (1 - _SMOOTHING) * (share - self._rate())
        model.rates[self._sampled] += (1 - _SLOW) * (share - model.rates[self._sampled])

    def close(self, written: int) -> None:
        """Give its sequence back.

        Args:
            written: Tokens of the answer.
        """
        self._model.release(self._text, written)

    def _rate(self) -> float:
        if self._belief is None:
            model, rate = self._model, self._model.rates[self._sampled]
            model.requests += 1
            self._belief = max(rate, model.first) if model.requests % _RETRY == 0 else rate
        return self._belief


def foretold(costs: Costs, own: Costs) -> str:
    """Return in words whether a draft model will pay, by what was measured before.

    Args:
        costs: The target's.
        own: The draft's.
    """
    if costs.unknown([1, 2]) or own.unknown([1]):
        return "measured at the first use"
    least = needed(costs, own.step(1), MOST)
    if least is None:
        return "stays switched off: measured here, no share of right guesses would gain"
    return f"used from {least:.0%} of right guesses on, measured here"
