from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ragstack.protocols import TokenVectors
from ragstack.rerank.late_interaction import LateInteractionReranker
from ragstack.testing.rerankers import passage

AXES = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "northeast": (0.6, 0.8)}


class Compass:
    """Gives each known word its direction."""

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        found = []
        for text in texts:
            rows = [AXES[word] for word in text.split()]
            vectors = np.array(rows, dtype=np.float32).reshape(-1, 2)
            found.append(TokenVectors(vectors, tuple((0, 0) for _ in rows)))
        return found


def test_a_worked_example() -> None:
    texts = ("north south", "east north", "northeast", "")
    passages = [passage(index, text) for index, text in enumerate(texts)]
    scores = LateInteractionReranker(token_embedder=Compass()).score("north east", passages)
    # north: 1, 1, 0.8; east: 0, 1, 0.6; an empty passage answers nothing.
    assert scores == pytest.approx([0.5, 1.0, 0.7, 0.0])


def test_an_empty_question_scores_nothing() -> None:
    assert LateInteractionReranker(token_embedder=Compass()).score("", [passage(0, "north")]) == [
        0.0
    ]


def test_the_context_is_read_too() -> None:
    chunk = passage(0, "south").chunk
    found = passage(0, "south")
    found = type(found)(type(chunk)("d", "v", 0, 5, "south", context="north"), 0.0, "s")
    assert LateInteractionReranker(token_embedder=Compass()).score("north", [found]) == [1.0]
