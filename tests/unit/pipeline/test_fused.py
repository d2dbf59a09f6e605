from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ragstack.config import RetrieveConfig
from ragstack.filters import Filter
from ragstack.pipeline.fused import fused
from ragstack.types import Hit

MINILM = "onnx:all-minilm-l6-v2:53aa:v1:int8:mean:256"
E5 = "onnx:multilingual-e5-small:f801:f1:published:mean:512:0"


class Ranked:
    """An index that finds the same whatever is asked."""

    position = 0

    def __init__(self, **scores: float) -> None:
        self._hits = [Hit(name, score) for name, score in scores.items()]

    def add(self, chunks: Sequence[object]) -> None: ...

    def delete(self, chunk_ids: Sequence[str]) -> None: ...

    def commit(self, position: int) -> None: ...

    def close(self) -> None: ...

    def __len__(self) -> int:
        return len(self._hits)

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        return [self._hits[:k] for _ in queries]


# By words x is 0.5 better; by vectors y is 0.09 better, as e5's are where they are sure.
INDEXES = {"lexical": Ranked(x=8.0, y=4.0), "vector": Ranked(y=0.90, x=0.81, z=0.80)}


def _first(config: RetrieveConfig, fingerprint: str) -> str:
    made = fused(INDEXES, config, Path("."), fingerprint=fingerprint, partial=False)
    return made.search(["q"], k=1)[0][0].chunk_id


def test_cosines_weigh_by_the_embedder() -> None:
    assert _first(RetrieveConfig(), MINILM) == "x"
    assert _first(RetrieveConfig(), E5) == "y"


def test_weights_of_the_configuration_stand() -> None:
    loud = replace(RetrieveConfig(), weights={"vector": 12.0})
    quiet = replace(RetrieveConfig(), weights={"vector": 2.0})
    assert (_first(loud, MINILM), _first(quiet, E5)) == ("y", "x")


@pytest.mark.parametrize("fingerprint", [MINILM, E5])
def test_reciprocal_ranks_know_no_cosines(fingerprint: str) -> None:
    config = replace(RetrieveConfig(), fusion="rrf")
    made = fused(INDEXES, config, Path("."), fingerprint=fingerprint, partial=False)
    scores = {hit.chunk_id: hit.score for hit in made.search(["q"], k=3)[0]}
    assert scores["x"] == scores["y"] == pytest.approx(1 / 61 + 1 / 62)


def test_an_index_alone_needs_no_weight() -> None:
    words = {"lexical": INDEXES["lexical"]}
    made = fused(words, RetrieveConfig(), Path("."), fingerprint=E5, partial=True)
    assert [hit.score for hit in made.search(["q"], k=2)[0]] == [8.0, 4.0]
