"""Several indexes of the same chunks in, one ranking out, with the score each of them gave.

Knows no kind of index: whatever answers ``search`` can take part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from ragstack.errors import ConfigError, InputError
from ragstack.filters import Filter
from ragstack.index.calibration import Calibration, calibrated
from ragstack.index.folder import check_search
from ragstack.index.fusion import reciprocal_rank, weighted_scores
from ragstack.protocols import Index
from ragstack.types import Hit

__all__ = ["FUSIONS", "HybridIndex"]

Value = TypeVar("Value")

FUSIONS = ("weighted", "rrf", "calibrated")

# Chosen on eight collections, tested on four others (docs/LOG.md); the weight is for cosines that
# spread as MiniLM's do. The pipeline knows the embedder, and hands in the weight of its cosines.
_WEIGHTS = {"vector": 2.0}
_NORMALISE = {"vector": "spread"}

_AT_ONCE = 256  # queries whose rankings are held at one time
_DEPTH = 100
_THREADS = 8  # searches of all callers that run beside those of the callers' own threads


class HybridIndex:
    """Searches its parts, for the same queries and under the same condition, and fuses.

    Args:
        indexes: The parts by name; the names appear in the trail.
        fusion: ``weighted`` (sum of scores), ``rrf`` (reciprocal ranks) or ``calibrated`` (how
            likely a hit is right, as fitted on judged questions).
        constant: Of reciprocal rank fusion.
        weights: Of a part by its name; 1 for one that is not named. None or none at all: what was
            measured best, a part named ``vector`` being taken for one that scores by cosine.
        normalise: See ``fusion.weighted_scores``; None or none at all: as with the weights.
        calibration: What was fitted, for ``calibrated``.

    Raises:
        ConfigError: No such fusion, or an option that it cannot use.
    """

    def __init__(
        self,
        indexes: Mapping[str, Index],
        *,
        fusion: str = "weighted",
        constant: float = 60,
        weights: Mapping[str, float] | None = None,
        normalise: Mapping[str, str] | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        if fusion not in FUSIONS:
            raise ConfigError(f"no fusion is named {fusion!r}; known: {', '.join(FUSIONS)}")
        self._indexes = dict(indexes)
        self._fusion = fusion
        self._normalise = dict(normalise or self._present(_NORMALISE))
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")
        self._by: Callable[..., list[Hit]]
        if fusion == "rrf":
            self._by = partial(reciprocal_rank, constant=constant, weights=weights)
        elif fusion == "calibrated":
            if calibration is None:
                raise ConfigError(
                    "the fusion 'calibrated' needs a calibration",
                    hint="fit one: ragstack eval fusion --fit FILE; then name it under [retrieve]: "
                    'calibration = "FILE"',
                )
            self._by = partial(calibrated, calibration=calibration)
        else:
            self._by = partial(
                weighted_scores,
                weights=weights or self._present(_WEIGHTS),
                normalise=self._normalise,
            )
        try:
            self._by({name: [] for name in indexes})
        except InputError as error:
            raise ConfigError(f"the indexes cannot be fused so: {error.message}") from error

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

        A part whose scores count by how far they stand above its worst candidate says that too, as
        ``NAME.spread``. The last entry, under the fusion's name, is the fused score. With a single
        part its ranking and scores are the answer, and there is no fusion to name.
        """
        check_search(queries, k)
        found: list[list[tuple[Hit, dict[str, float]]]] = []
        for start in range(0, len(queries), _AT_ONCE):
            some = queries[start : start + _AT_ONCE]
            rankings = self._rankings(some, depth=max(depth, k), where=where)
            for place in range(len(some)):
                found.append(self._fused({name: rankings[name][place] for name in rankings}, k))
        return found

    def _present(self, options: Mapping[str, Value]) -> Mapping[str, Value]:
        return {name: value for name, value in options.items() if name in self._indexes}

    def _rankings(
        self, queries: Sequence[str], *, depth: int, where: Filter | None
    ) -> dict[str, list[list[Hit]]]:
        if not self._indexes:
            return {}
        *others, own = [
            (name, partial(index.search, queries, k=depth, where=where))
            for name, index in self._indexes.items()
        ]
        # Side by side: while one waits for its embedder, another looks words up.
        running = [(name, self._pool.submit(search)) for name, search in others]
        try:
            found = own[1]()
        finally:
            wait([future for _, future in running])
        return {**{name: future.result() for name, future in running}, own[0]: found}

    def _fused(
        self, rankings: Mapping[str, Sequence[Hit]], k: int
    ) -> list[tuple[Hit, dict[str, float]]]:
        if len(rankings) == 1:
            (name,) = rankings
            return [(hit, {name: hit.score}) for hit in rankings[name][:k]]
        best = self._by(rankings, k=k)
        trails: dict[str, dict[str, float]] = {hit.chunk_id: {} for hit in best}
        for name, hits in rankings.items():
            above = min((hit.score for hit in hits), default=0.0)
            for hit in hits:
                trail = trails.get(hit.chunk_id)
                if trail is not None:
                    trail[name] = hit.score
                    if self._normalise.get(name) == "spread":
                        trail[f"{name}.spread"] = hit.score - above
        for hit in best:
            trails[hit.chunk_id][self._fusion] = hit.score
        return [(hit, trails[hit.chunk_id]) for hit in best]
