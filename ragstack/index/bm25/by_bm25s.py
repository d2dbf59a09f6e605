"""Chunks in, hits out by bm25s: scores are computed when it is built, and it holds all in memory.

For comparison, and for bases that hardly change: see ``rebuilt`` for what a change costs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np

from ragstack.index.bm25.rebuilt import RebuiltIndex, ScoreOf, Texts
from ragstack.index.bm25.variants import Scoring

__all__ = ["Bm25sIndex"]


class Bm25sIndex(RebuiltIndex):
    """Implements ``protocols.Index`` with bm25s, in memory and built anew after each change.

    Args:
        folder: Where it keeps the chunks' terms; made when first written to.
        languages: Codes of the languages whose words are stemmed.
        variant: ``lucene``, ``robertson``, ``atire``, ``bm25l`` or ``bm25+``; the last two give
            absent words a share there.
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
        variant: str = "lucene",
        k1: float = 1.2,
        b: float = 0.75,
    ) -> None:
        scoring = Scoring.of({"variant": variant, "k1": k1, "b": b})
        super().__init__(
            Path(folder),
            kind="bm25s",
            languages=languages,
            build=lambda texts: _built(texts, scoring),
        )


def _built(texts: Texts, scoring: Scoring) -> ScoreOf:
    made: Any = bm25s.BM25(
        method=scoring.variant, k1=scoring.k1, b=scoring.b, delta=scoring.shift, backend="numpy"
    )
    number = {term: place for place, term in enumerate(texts.terms)}
    made.index(([text.tolist() for text in texts.numbers], number), show_progress=False)
    return lambda term: np.asarray(made.get_scores_from_ids([number[term]]))
