"""Passages in, scores out from the vectors of single tokens: how well each word is answered."""

from __future__ import annotations

from collections.abc import Sequence

from ragstack.protocols import TokenEmbedder
from ragstack.types import Passage

__all__ = ["LateInteractionReranker"]


class LateInteractionReranker:
    """MaxSim: Khattab and Zaharia, ColBERT, SIGIR 2020 (arXiv:2004.12832).

    Each token of the question takes the cosine of the passage's token nearest to it; the score is
    their mean, not their sum, so that scores of different questions compare.
    """

    def __init__(self, *, token_embedder: TokenEmbedder) -> None:
        self._embedder = token_embedder

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return one score for each passage, in order, from -1 to 1; 0 where a side is empty."""
        if not passages:
            return []
        texts = [query, *(passage.chunk.indexed_text for passage in passages)]
        asked, *found = (tokens.vectors for tokens in self._embedder.embed_tokens(texts))
        return [
            float((asked @ vectors.T).max(axis=1).mean()) if len(asked) and len(vectors) else 0.0
            for vectors in found
        ]
