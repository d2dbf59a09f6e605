"""Dice in, vectors out that lie as those of texts do: in clusters, with noise.

2,000 clusters in 64 of the dimensions and noise in all. That is harder on lists and graphs than one
cloud and easier than real text; docs/LOG.md says what real vectors give.
"""

from __future__ import annotations

import numpy as np

from ragstack.protocols import Vectors

__all__ = ["Clusters"]

_CLUSTERS = 2_000
_PLACES = 64  # dimensions that the clusters lie in
_SPREAD = 0.7  # of a cluster
_NOISE = 0.35


class Clusters:
    """Where the clusters lie; always the same."""

    def __init__(self, dimensions: int) -> None:
        dice = np.random.default_rng(1)
        self._dimensions = dimensions
        self._centres = dice.standard_normal((_CLUSTERS, _PLACES)).astype(np.float32)
        self._base = dice.standard_normal((_PLACES, dimensions)).astype(np.float32) / 8

    def drawn(self, dice: np.random.Generator, count: int) -> Vectors:
        """Return so many unit rows."""
        places = self._centres[dice.integers(0, _CLUSTERS, count)]
        places = places + _SPREAD * dice.standard_normal(places.shape, dtype=np.float32)
        noise = _NOISE * dice.standard_normal((count, self._dimensions), dtype=np.float32)
        rows = places @ self._base + noise
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows
