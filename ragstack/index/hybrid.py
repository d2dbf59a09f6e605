"""Several indexes of the same chunks in, one ranking out, with the score each of them gave.

Knows no kind of index: whatever answers ``search`` can take part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ragstack.errors import ConfigError
from ragstack.filters import Filter
from ragstack.index.folder import check_search
from ragstack.index.fusion import reciprocal_rank, weighted_scores
from ragstack.protocols import Index
from ragstack.types import Hit

__all__ = ["FUSIONS", "HybridIndex"]

FUSIONS = ("rrf", "weighted")
_AT_ONCE = 256  # queries whose rankings are held at one time
_DEPTH = 100


class HybridIndex:
    """Searches its parts, for the same queries and under the same condition, and fuses.

    Args:
        indexes: The parts by name; the names appear in the trail.
        fusion: ``rrf`` (reciprocal ranks) or ``weighted`` (scores between 0 and 1, weighted).
        constant: Of reciprocal rank fusion.
        weights: Of a part by its name; 1 for one that is not named.

    Raises:
        ConfigError: No such fusion, or a weight for what is no part.
    """

    def __init__(
        self,
        indexes: Mapping[str, Index],
        *,
        fusion: str = "rrf",
        constant: float = 60,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if fusion not in FUSIONS:
            raise ConfigError(f"no fusion is named {fusion!r}; known: {', '.join(FUSIONS)}")
        unknown = [name for name in weights or {} if name not in indexes]
        if unknown:
            raise ConfigError(
                f"there is a weight for {unknown[0]!r}, but the indexes are: {', '.join(indexes)}"
            )
        self._indexes = dict(indexes)
        self._fusion = fusion
        self._fuse = (
            partial(reciprocal_rank, constant=constant, weights=weights)
            if fusion == "rrf"
            else partial(weighted_scores, weights=weights)
        )

    def search(
        self,
        queries: Sequence[str],
        *,
        k: int,
        where: Filter | None = None,
        depth: int = _DEPTH,
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id.

        Args:
            depth: Candidates taken from each part; at least ``k`` are.
        """
        found = self.search_with_trail(queries, k=k, where=where, depth=depth)
        return [[hit for hit, _ in hits] for hits in found]

    def search_with_trail(
        self,
        queries: Sequence[str],
        *,
        k: int,
        where: Filter | None = None,
        depth: int = _DEPTH,
    ) -> list[list[tuple[Hit, dict[str, float]]]]:
        """Return the hits of ``search``, each with its score in every part that found it.

        The trail's last entry, under the fusion's name, is the fused score. With a single part its
        ranking and scores are the answer, and there is no fusion to name.
        """
        check_search(queries, k)
        found: list[list[tuple[Hit, dict[str, float]]]] = []
        for start in range(0, len(queries), _AT_ONCE):
            some = queries[start : start + _AT_ONCE]
            rankings = self._rankings(some, depth=max(depth, k), where=where)
            for place in range(len(some)):
                found.append(self._fused({name: rankings[name][place] for name in rankings}, k))
        return found

    def _rankings(
        self, queries: Sequence[str], *, depth: int, where: Filter | None
    ) -> dict[str, list[list[Hit]]]:
        return {
            name: index.search(queries, k=depth, where=where)
            for name, index in self._indexes.items()
        }

    def _fused(
        self, rankings: Mapping[str, Sequence[Hit]], k: int
    ) -> list[tuple[Hit, dict[str, float]]]:
        scores = {
            name: {hit.chunk_id: hit.score for hit in hits} for name, hits in rankings.items()
        }
        if len(rankings) == 1:
            (name,) = rankings
            return [(hit, {name: hit.score}) for hit in rankings[name][:k]]
        return [
            (
                hit,
                {
                    **{
                        name: scores[name][hit.chunk_id]
                        for name in scores
                        if hit.chunk_id in scores[name]
                    },
                    self._fusion: hit.score,
                },
            )
            for hit in self._fuse(rankings)[:k]
        ]
