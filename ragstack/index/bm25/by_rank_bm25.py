"""Chunks in, hits out by rank_bm25: every search walks through every chunk in Python.

For comparison, and for a few thousand chunks: see ``rebuilt`` for what a change costs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rank_bm25

from ragstack.errors import ConfigError
from ragstack.index.bm25.rebuilt import RebuiltIndex, ScoreOf, Texts
from ragstack.index.bm25.variants import Scoring

__all__ = ["RankBm25Index"]

_CLASSES = {"okapi": "BM25Okapi", "l": "BM25L", "plus": "BM25Plus"}


class RankBm25Index(RebuiltIndex):
    """Implements ``protocols.Index`` with rank_bm25, in memory and built anew after each change.

    Args:
        folder: Where it keeps the chunks' terms; made when first written to.
        languages: Codes of the languages whose words are stemmed.
        variant: ``okapi``, ``l`` or ``plus``, as that library computes them.
        k1: How soon more of the same word adds little.
        b: How much length counts.

    Raises:
        ConfigError: A language, a variant or a number that cannot be.
        IndexStateError: Its files do not hold together, or were made with other languages.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        languages: Sequence[str] = ("en", "fr"),
        variant: str = "okapi",
        k1: float = 1.5,
        b: float = 0.75,
    ) -> None:
        Scoring.of({"k1": k1, "b": b})
        if variant not in _CLASSES:
            raise ConfigError(f"rank_bm25 has no variant {variant!r}; known: {', '.join(_CLASSES)}")
        make: Any = getattr(rank_bm25, _CLASSES[variant])
        super().__init__(
            Path(folder),
            kind="rank_bm25",
            languages=languages,
            build=lambda texts: _built(make, texts, k1, b),
        )


def _built(make: Any, texts: Texts, k1: float, b: float) -> ScoreOf:
    made = make([[texts.terms[n] for n in text.tolist()] for text in texts.numbers], k1=k1, b=b)
    return lambda term: np.asarray(made.get_scores([term]), dtype=np.float64)
