"""Weights in, the tokens that keep the text's surprise near a target out.

Basu et al. 2021, «Mirostat: a neural text decoding algorithm that directly controls perplexity»
(arXiv 2007.14966). Surprise is in bits, of the distribution before it is cut, as in the paper.
"""

from __future__ import annotations

import math

import numpy as np

from ragstack.engine.candidates import Weights, best_of
from ragstack.engine.drawing import AtLeast, Best, Cut, These
from ragstack.types import Mirostat

__all__ = ["SurpriseControl"]

_FITTED = 100  # the paper's m: the tokens whose ratios give the exponent of Zipf's law
_LEAST_BITS = -100.0  # long before, nothing but the best is left; far below, the power overflows


class SurpriseControl:
    """The cut of one text.

    Attributes:
        limit: The paper's mu: the most surprise of a token that is kept, or of the last one kept.
    """

    def __init__(self, settings: Mirostat) -> None:
        """Begin a text: the paper starts at twice the target."""
        self._settings = settings
        self.limit = 2.0 * settings.tau

    def cut(self, weights: Weights, whole: float) -> Cut:
        """Return the tokens that may be drawn; the best is always one.

        Args:
            weights: Beside the best, which weighs 1.
            whole: Their sum.
        """
        if self._settings.version == 1:
            best = best_of(weights, _FITTED)
            size = _zipf_size(weights[best], self.limit, len(weights))
            return These(best[:size]) if size <= len(best) else Best(weights, size)
        # Algorithm 2: all whose surprise, -log2(weight / total), is at most the limit.
        return AtLeast(weights, min(whole * 2.0 ** -max(self.limit, _LEAST_BITS), 1.0))

    def learn(self, surprise: float) -> None:
        """Take the surprise of the token that was drawn."""
        self.limit -= self._settings.eta * (surprise - self._settings.tau)


def _zipf_size(best: Weights, limit: float, size: int) -> int:
    """Return how many of a vocabulary to keep, from a Zipf law fitted to the best.

    Algorithm 1: with t_i = log((i + 1) / i) and b_i = log(p_i / p_{i+1}), the exponent is
    s = sum(t_i * b_i) / sum(t_i ** 2), and with e = s - 1 and a vocabulary of N,
    k = (e * 2 ** limit / (1 - N ** -e)) ** (1 / s).
    """
    best = np.asarray(best[best > 0.0], dtype=np.float64)
    if len(best) < 2:
        return 1
    ranks = np.arange(1, len(best))
    steps = np.log((ranks + 1) / ranks)
    exponent = float((steps * np.log(best[:-1] / best[1:])).sum() / (steps**2).sum())
    return min(_zipf_rank(exponent, limit, size), size)


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
