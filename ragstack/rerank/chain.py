"""Passages in, scores out by several rerankers, each seeing what the one before liked best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragstack import registry
from ragstack.errors import ConfigError
from ragstack.protocols import Closeable, Embedder, Generator, Reranker, TokenEmbedder
from ragstack.types import Passage

__all__ = ["ChainReranker"]


class ChainReranker:
    """A Reranker: a quick one cuts the list, a slow one orders what is left.

    The score counts stages passed first and then the last stage's own score, squeezed into 0 to 1:
    so what a later stage saw is always above what it did not see.
    """

    def __init__(
        self,
        *,
        stages: Sequence[Mapping[str, Any]],
        embedder: Embedder | None = None,
        token_embedder: TokenEmbedder | None = None,
        generator: Generator | None = None,
    ) -> None:
        """Make the stages.

        Args:
            stages: Tables as under ``[rerank]``, in order; ``keep`` in each but the last says how
                many passages the next one sees.

        Raises:
            ConfigError: No stage, or one that cannot be made.
        """
        if isinstance(stages, (str, Mapping)) or not stages:
            raise ConfigError(f"stages is {stages!r}, expected a list of one reranker or more")
        given = {
            key: value
            for key, value in (
                ("embedder", embedder),
                ("token_embedder", token_embedder),
                ("generator", generator),
            )
            if value is not None
        }
        self._stages: list[tuple[Reranker, int]] = []
        for place, stage in enumerate(stages):
            if not isinstance(stage, Mapping) or not isinstance(stage.get("use"), str):
                raise ConfigError(f'a stage is a table with use = "NAME", got {stage!r}')
            options = {key: value for key, value in stage.items() if key not in ("use", "keep")}
            last = place == len(stages) - 1
            keep = stage.get("keep", 0 if last else None)
            if type(keep) is not int or keep < (0 if last else 1):
                raise ConfigError(
                    f"stage {stage['use']!r} has keep={keep!r}; expected how many passages "
                    "the next stage sees, from 1"
                )
            made = registry.create("rerankers", stage["use"], options, **given)
            self._stages.append((made, keep))

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return one score for each passage, in order; higher is better."""
        found = [0.0] * len(passages)
        seen = list(range(len(passages)))
        for level, (reranker, keep) in enumerate(self._stages):
            if not seen:
                break
            scores = list(reranker.score(query, [passages[row] for row in seen]))
            ranked = sorted(zip(scores, seen, strict=True), key=lambda pair: (-pair[0], pair[1]))
            for score, row in ranked:
                found[row] = level + _squeezed(score)
            seen = [row for _, row in ranked[: keep or len(ranked)]]
        return found

    def close(self) -> None:
        """Close every stage."""
        for reranker, _ in self._stages:
            if isinstance(reranker, Closeable):
                reranker.close()


def _squeezed(score: float) -> float:
    """Return a score between 0 and 1, in the same order: x / (1 + |x|), moved and halved."""
    return (score / (1.0 + abs(score)) + 1.0) / 2.0
