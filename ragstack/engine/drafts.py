"""Tokens so far in, a guess at those that come next out: what stood after the same words before.

Answers quote what they were given, so the text after the last few tokens is looked up in all that
was read and written (prompt lookup; Saxena 2023, and Yang et al., Inference with Reference,
arXiv:2304.04487). A wrong guess costs time, never a token: each is checked against the model.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Drafter"]

_LONGEST, _SHORTEST = 8, 3  # tokens that must agree before what follows is believed
_SMOOTHING = 0.8
_BELIEF = 0.6


class Drafter:
    """Guesses from one sequence.

    Attributes:
        guessed: Tokens that were guessed in all.
        right: How many of them were right.
        tokens: What was read and written, for others to look at.
    """

    def __init__(self) -> None:
        self.guessed = 0
        self.right = 0
        self.tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        # How likely the next guessed token is right, by how many tokens agreed before it.
        self._belief = {size: _BELIEF for size in (_LONGEST, _SHORTEST)}
        self._last = _SHORTEST

    def extend(self, tokens: Sequence[int]) -> None:
        """Take note of what was read or written."""
        for token in tokens:
            self.tokens.append(token)
            end = len(self.tokens) - 1
            for size in (_LONGEST, _SHORTEST):
                if end >= size:
                    # The place after what stood before this token: known once something follows.
                    self._after[tuple(self.tokens[end - size : end])] = end

    def guess(self, most: int) -> list[int]:
        """Return up to ``most`` tokens that may come next; none where nothing agrees."""
        if most <= 0:
            return []
        for size in (_LONGEST, _SHORTEST):
            place = self._after.get(tuple(self.tokens[-size:]))
            if place is not None and len(self.tokens) >= size:
                self._last = size
                return self.tokens[place : place + most]
        return []

    def belief(self) -> float:
        """Return how likely one more guessed token would be right; 0 where there is none."""
        for size in (_LONGEST, _SHORTEST):
            if tuple(self.tokens[-size:]) in self._after:
                return self._belief[size]
        return 0.0

    def learn(self, guessed: int, right: int) -> None:
        """Take note of how far the last guess was right."""
        if not guessed:
            return
        self.guessed += guessed
        self.right += right
        # Of the tokens that were put to the test: the right ones and the first wrong one.
        share = right / min(guessed, right + 1)
        self._belief[self._last] += (1 - _SMOOTHING) * (share - self._belief[self._last])
