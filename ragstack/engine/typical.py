"""Weights in, the tokens that surprise about as much as is expected out.

Locally typical sampling, Meister et al. 2022 (arXiv 2202.00666): |-log p - H|, smallest first, up
to a mass. With p = exp(x) / Z, that is |x - E[x]|: Z falls out.
"""

from __future__ import annotations

import numpy as np

from ragstack.engine.candidates import Indices, Row, Weights, covering, total

__all__ = ["Typical"]

_LEAST = np.float32(-1e4)  # a scaled logit of weight 0 that can be multiplied by it


class Typical:
    """The tokens of one row."""

    def __init__(self, scaled: Row, weights: Weights, goal: float, whole: float) -> None:
        """Find the expected surprise.

        Args:
            scaled: Logits less the best one, divided by the temperature; may be overwritten.
            weights: ``exp(scaled)``.
            goal: The sum of the weights that the tokens have together.
            whole: The sum of all.
        """
        logs = scaled
        with np.errstate(invalid="ignore"):
            expected = np.dot(weights, logs)
        if not np.isfinite(expected):  # 0 times minus infinity
            logs = np.maximum(scaled, _LEAST, out=scaled)
            expected = np.dot(weights, logs)
        self._logs, self._weights, self._goal = logs, weights, goal
        self._expected = np.float32(expected / whole)

    def keeps(self, place: int) -> bool:
        """Return whether what is more typical leaves room for this one."""
        own = self._logs[place]
        other = 2.0 * self._expected - own  # as far away, on the other side
        near = (self._logs > min(own, other)) & (self._logs < max(own, other))
        alike = int(np.count_nonzero(self._logs[:place] == own)) * float(self._weights[place])
        return float(self._weights[near].sum(dtype=np.float64)) + alike < self._goal

    def kept(self) -> Indices:
        """Return the most typical tokens, most typical first or, if they are many, likeliest."""
        # The best has x = 0, so whatever has x above 2 E[x] is as near as the best or nearer; what
        # comes after those comes in the order of its weight.
        near = np.flatnonzero(self._logs >= 2.0 * self._expected)
        if total(self._weights[near]) < self._goal:
            return covering(self._weights, self._weights, self._goal)
        distances = np.abs(self._logs[near] - self._expected)
        return near[covering(-distances, self._weights[near], self._goal)]
