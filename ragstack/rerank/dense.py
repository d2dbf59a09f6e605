"""Passages in, cosines out by a second embedder, larger than the one that searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragstack import registry
from ragstack.errors import ConfigError
from ragstack.protocols import Closeable, Embedder
from ragstack.types import Passage
from ragstack.vectors import products

__all__ = ["DenseReranker"]


class DenseReranker:
    """A Reranker: only what was found is embedded by the costlier model, not the whole base."""

    def __init__(self, *, embed: Mapping[str, Any]) -> None:
        """Make the second embedder.

        Args:
            embed: ``{ use = "NAME", … }``, as under ``[embed]``.

        Raises:
            ConfigError: It names no embedder, or one that cannot be made.
        """
        if not isinstance(embed, Mapping) or not isinstance(embed.get("use"), str):
            raise ConfigError(
                f"embed is {embed!r}, expected a table that names an embedder",
                hint='embed = { use = "sentence_transformers", model = "…" }',
            )
        options = {key: value for key, value in embed.items() if key != "use"}
        self._embedder: Embedder = registry.create("embedders", embed["use"], options)

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return the cosine of each passage with the question, in order."""
        if not passages:
            return []
        asked = self._embedder.embed_queries([query])[0]
        texts = [passage.chunk.indexed_text for passage in passages]
        cosines = products(self._embedder.embed_documents(texts), asked)
        return [float(cosine) for cosine in cosines]

    def close(self) -> None:
        """Close the second embedder."""
        if isinstance(self._embedder, Closeable):
            self._embedder.close()
