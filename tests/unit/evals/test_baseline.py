from __future__ import annotations

import numpy as np
import pytest

from ragstack.errors import InputError
from ragstack.protocols import Vectors
from ragstack_evals.baseline import HandMade, fuse_by_hand

TEXTS = ["The engine computes numbers", "A river in France", "Engines and rivers", "Nothing here"]
IDS = ["a", "b", "c", "d"]


def rows(*values: tuple[float, float]) -> Vectors:
    found = np.asarray(values, dtype=np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def made(query_vector: tuple[float, float] = (1.0, 0.0), *, language: str = "en") -> HandMade:
    return HandMade(
        IDS,
        TEXTS,
        rows((1, 0), (0, 1), (1, 1), (-1, 0)),
        embed_query=lambda _: rows(query_vector)[0],
        language=language,
    )


def test_fusion_worked_example() -> None:
    # a: 1/61 + 1/63, b: 1/62, c: 1/63 + 1/61 (tie with a, by id), d: 1/62 (tie with b)
    assert fuse_by_hand([["a", "b", "c"], ["c", "d", "a"]], k=4) == ["a", "c", "b", "d"]
    assert fuse_by_hand([["a", "b", "c"], ["c", "d", "a"]], k=1) == ["a"]
    assert fuse_by_hand([], k=3) == []


def test_words_are_stemmed_and_strangers_left_out() -> None:
    found = made().lexical("engine", k=9)
    assert set(found) == {"a", "c"}
    assert made().lexical("the of and", k=9) == []


def test_vectors_by_cosine() -> None:
    assert made().vector("x", k=3) == ["a", "c", "b"]
    assert made((0.0, 1.0)).vector("x", k=9)[:2] == ["b", "c"]


def test_hybrid_fuses_both() -> None:
    # words: b and c in some order; vectors towards (0, 1): b, c, …
    assert made((0.0, 1.0)).hybrid("river", k=2) in (["b", "c"], ["c", "b"])
    assert made((0.0, 1.0)).hybrid("river france", k=1) == ["b"]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="'de'"):
        made(language="de")
