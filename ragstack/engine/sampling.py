"""Logits in, one token out. Knows nothing of the model they came from.

Order of the cuts: top-k, temperature, top-p, min-p, as in the papers and in llama.cpp's defaults.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import GenerationError, InputError
from ragstack.types import Sampling

__all__ = ["Sampler", "check_sampling", "log_probability"]

# exp(-30) is 1e-13: over a vocabulary of 150,000 the tokens left out weigh under 2e-8 together,
# less than float32 can tell; and the exponentials of a few hundred are quicker than those of all.
_NEGLIGIBLE = 30.0

Row = NDArray[np.float32]


class Sampler:
    """Draws tokens. Greedy at temperature 0; else the same seed draws the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        """Check the settings.

        Raises:
            InputError: One is out of range.
        """
        check_sampling(sampling)
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def draw(self, logits: Row) -> int:
        """Return the next token.

        Raises:
            GenerationError: No token has a finite logit: the model is broken, or all are forbidden.
        """
        best = int(np.argmax(logits))
        if not np.isfinite(logits[best]):
            best = _finite_best(logits)
        settings = self._sampling
        if settings.temperature == 0.0 or settings.top_k == 1:
            return best
        tokens, scaled = self._candidates(logits, float(logits[best]))
        weights = np.exp(scaled - scaled[0])
        weights /= weights.sum()
        kept = self._kept(weights)
        total = np.cumsum(weights[:kept])
        place = np.searchsorted(total, self._random.random() * total[-1], side="right")
        return int(tokens[min(int(place), kept - 1)])

    def _candidates(self, logits: Row, best: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the tokens that count and their scaled logits, best first."""
        settings = self._sampling
        tokens = np.flatnonzero(logits >= best - _NEGLIGIBLE * settings.temperature)
        values = logits[tokens]
        if settings.top_k and settings.top_k < len(tokens):
            cut = np.argpartition(-values, settings.top_k - 1)[: settings.top_k]
            tokens, values = tokens[cut], values[cut]
        order = np.argsort(-values, kind="stable")
        return tokens[order], values[order].astype(np.float64) / settings.temperature

    def _kept(self, weights: NDArray[np.float64]) -> int:
        """Return how many of the sorted weights top-p and min-p leave, at least one."""
        settings = self._sampling
        kept = len(weights)
        if settings.top_p < 1.0:
            kept = min(kept, int(np.searchsorted(np.cumsum(weights), settings.top_p)) + 1)
        if settings.min_p > 0.0:
            kept = min(kept, int(np.count_nonzero(weights >= settings.min_p * weights[0])))
        return max(kept, 1)


def check_sampling(sampling: Sampling) -> None:
    """Refuse settings that mean nothing.

    Raises:
        InputError: One is out of range.
    """
    for name, value, good, expected in (
        ("max_tokens", sampling.max_tokens, sampling.max_tokens >= 0, "0 or more"),
        ("temperature", sampling.temperature, 0.0 <= sampling.temperature < np.inf, "0 or more"),
        ("top_p", sampling.top_p, 0.0 < sampling.top_p <= 1.0, "above 0, at most 1"),
        ("top_k", sampling.top_k, sampling.top_k >= 0, "0 or more"),
        ("min_p", sampling.min_p, 0.0 <= sampling.min_p <= 1.0, "0 to 1"),
        ("seed", sampling.seed, sampling.seed >= 0, "0 or more"),
    ):
        if not good:
            raise InputError(f"{name} is {value!r}, expected {expected}")
    stop: object = sampling.stop
    if not isinstance(stop, tuple) or not all(isinstance(s, str) and s for s in stop):
        raise InputError(f"stop is {sampling.stop!r}, expected a tuple of strings, none empty")


def log_probability(logits: Row, token: int) -> float:
    """Return the natural log-probability of a token; the sum is kept in float64."""
    best = float(logits.max())
    total = np.exp(logits - np.float32(best)).sum(dtype=np.float64)
    return float(logits[token]) - best - float(np.log(total))


def _finite_best(logits: Row) -> int:
    finite = np.isfinite(logits)
    if not finite.any():
        raise GenerationError("the model gives no finite logit; its file is probably damaged")
    return int(np.argmax(np.where(finite, logits, -np.inf)))
