"""Weights in, the tokens that keep the text's surprise near a target out.

Basu et al. 2021, «Mirostat: a neural text decoding algorithm that directly controls perplexity»
(arXiv 2007.14966). Surprise is in bits, of the distribution before it is cut, as in the paper.
"""

from __future__ import annotations

import math

import numpy as np

from ragstack.engine.candidates import Indices, Weights, best_of, total
from ragstack.types import Mirostat

__all__ = ["SurpriseControl"]

_FITTED = 100  # the paper's m: the tokens whose ratios give the exponent of Zipf's law


class SurpriseControl:
    """The cut of one text.

    Attributes:
        limit: The paper's mu: the most surprise of a token that is kept, or of the last one kept.
    """

    def __init__(self, settings: Mirostat) -> None:
        """Begin a text: the paper starts at twice the target."""
        self._settings = settings
        self.limit = 2.0 * settings.tau

    def keep(self, weights: Weights) -> Indices:
        """Return the tokens that may be drawn, at least the best; changes nothing.

        Args:
            weights: Beside the best, which weighs 1.
        """
        if self._settings.version == 1:
            return best_of(weights, _zipf_size(weights, self.limit))
        # Algorithm 2: all whose surprise, -log2(weight / total), is at most the limit.
        return np.flatnonzero(weights >= min(total(weights) * 2.0**-self.limit, 1.0))

    def learn(self, surprise: float) -> None:
        """Take the surprise of the token that was drawn."""
        self.limit -= self._settings.eta * (surprise - self._settings.tau)


def _zipf_size(weights: Weights, limit: float) -> int:
    """Return how many of the best to keep, from a Zipf law fitted to them.

    Algorithm 1: with t_i = log((i + 1) / i) and b_i = log(p_i / p_{i+1}), the exponent is
    s = sum(t_i * b_i) / sum(t_i ** 2), and with e = s - 1 and a vocabulary of N,
    k = (e * 2 ** limit / (1 - N ** -e)) ** (1 / s).
    """
    best = np.asarray(weights[best_of(weights, _FITTED)], dtype=np.float64)
    best = best[best > 0.0]
    if len(best) < 2:
        return 1
    ranks = np.arange(1, len(best))
    steps = np.log((ranks + 1) / ranks)
    exponent = float((steps * np.log(best[:-1] / best[1:])).sum() / (steps**2).sum())
    return min(_zipf_rank(exponent, limit, len(weights)), len(weights))


def _zipf_rank(exponent: float, limit: float, size: int) -> int:
    """Return k of the formula; in logarithms, since its powers overflow."""
    if exponent <= 0.0:  # all alike: the law has no tail to cut
        return size
    excess, of_size = exponent - 1.0, math.log(size)
    if abs(excess * of_size) < 1e-9:
        scale = -math.log(of_size)  # the limit of e / (1 - N ** -e) for e to 0
    elif excess > 0.0:
        scale = math.log(excess / -math.expm1(-excess * of_size))
    else:  # both signs turned
        scale = math.log(-excess / math.expm1(-excess * of_size))
    rank = (scale + limit * math.log(2.0)) / exponent
    return size if rank >= of_size else max(int(math.exp(rank)), 1)
