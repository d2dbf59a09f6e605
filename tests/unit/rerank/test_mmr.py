from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.errors import ConfigError
from ragstack.protocols import Vectors
from ragstack.rerank.mmr import MmrReranker
from ragstack.testing.rerankers import passage


class Placed:
    """Gives each text the vector it was made with."""

    dimensions = 2
    fingerprint = "placed"

    def __init__(self, places: dict[str, Sequence[float]]) -> None:
        self.places = places

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        rows = np.array([self.places[text] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)


def test_a_worked_example() -> None:
    """Cosines to q: a 1, b 0.8 (and 0.8 to a), c 0.6 (0.6 to a, 0.96 to b); balance 0.5."""
    placed = Placed({"q": (1, 0), "a": (1, 0), "b": (4, 3), "c": (3, 4)})
    passages = [passage(index, text) for index, text in enumerate("abc")]
    scores = MmrReranker(embedder=placed, balance=0.5).score("q", passages)
    # a: 0.5 * 1; then b: 0.5 * 0.8 - 0.5 * 0.8 = c: 0.5 * 0.6 - 0.5 * 0.6 = 0, the first wins;
    # then c: 0.3 - 0.5 * 0.96.
    assert scores == pytest.approx([0.5, 0.0, -0.18], abs=1e-6)


def test_a_copy_falls_behind_something_new() -> None:
    placed = Placed({"q": (1, 0), "a": (9, 1), "copy": (9, 1), "new": (1, 1)})
    passages = [passage(index, text) for index, text in enumerate(("a", "copy", "new"))]
    scores = MmrReranker(embedder=placed, balance=0.4).score("q", passages)
    assert scores[0] > scores[2] > scores[1]
    alike = MmrReranker(embedder=placed, balance=1.0).score("q", passages)
    assert alike[0] == alike[1] > alike[2]


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 1)), min_size=1, max_size=12),
    st.floats(0, 1),
)
def test_scores_give_the_greedy_order(points: list[tuple[float, float]], balance: float) -> None:
    names = [str(index) for index in range(len(points))]
    placed = Placed({"q": (1, 0), **dict(zip(names, points, strict=True))})
    passages = [passage(index, name) for index, name in enumerate(names)]
    scores = MmrReranker(embedder=placed, balance=balance).score("q", passages)
    vectors = placed.embed_documents(names).astype(float)
    relevance = vectors[:, 0]
    taken: list[int] = []
    order = sorted(range(len(names)), key=lambda index: -scores[index])
    for chosen in order:
        nearest = [max([0.0, *(vectors[i] @ vectors[j] for j in taken)]) for i in order]
        worth = {
            i: balance * relevance[i] - (1 - balance) * near
            for i, near in zip(order, nearest, strict=True)
            if i not in taken
        }
        assert worth[chosen] >= max(worth.values()) - 1e-5
        assert scores[chosen] == pytest.approx(worth[chosen], abs=1e-5)
        taken.append(chosen)


@pytest.mark.parametrize("balance", [-0.1, 1.1, float("nan")])
def test_balance_is_checked(balance: Any) -> None:
    with pytest.raises(ConfigError, match="balance"):
        MmrReranker(embedder=Placed({}), balance=balance)
