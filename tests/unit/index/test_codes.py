"""Eight-bit copies of vectors: what is sifted by them is what the true vectors would keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack.errors import IndexStateError
from ragstack.index.codes import extend, load, width
from ragstack.protocols import Vectors


def unit(count: int, dimensions: int, seed: int) -> Vectors:
    dice = np.random.default_rng(seed)
    # Alike, as texts are: what is near the k-th is many, and a number of one row may be large.
    drawn = dice.standard_normal(dimensions) + dice.standard_normal((count, dimensions)) ** 3
    found: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return found


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 900),
    dimensions=st.sampled_from([1, 8, 33, 384]),
    k=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_best_are_never_sifted_out(
    tmp_path_factory: pytest.TempPathFactory, count: int, dimensions: int, k: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("codes") / "codes.i8"
    vectors = unit(count, dimensions, seed)
    extend(path, vectors, covered=0)
    copies = load(path, count, dimensions)
    rows = np.random.default_rng(seed).permutation(count)[: count // 2 + 1]
    asked = unit(1, dimensions, seed + 1)[0]
    scores = vectors[rows] @ asked
    best = rows[np.argsort(-scores)[:k]]
    kept = copies.sifted(asked, rows, k)
    assert set(kept.tolist()) <= set(rows.tolist())
    worst = float((vectors[best] @ asked).min())
    assert np.count_nonzero(vectors[kept] @ asked >= worst - 1e-6) >= len(best)


def test_few_are_kept(tmp_path: Path) -> None:
    vectors = unit(5_000, 384, 1)
    extend(tmp_path / "c", vectors, covered=0)
    kept = load(tmp_path / "c", 5_000, 384).sifted(vectors[7], np.arange(800), 100)
    assert 100 <= len(kept) < 250


def test_rows_are_appended(tmp_path: Path) -> None:
    vectors = unit(100, 16, 2)
    extend(tmp_path / "whole", vectors, covered=0)
    extend(tmp_path / "parts", vectors[:60], covered=0)
    with open(tmp_path / "parts", "ab") as file:
        file.write(b"torn by a kill")
    extend(tmp_path / "parts", vectors, covered=60)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert (tmp_path / "whole").stat().st_size == 100 * width(16)


def test_zeros_and_signs(tmp_path: Path) -> None:
    vectors = np.zeros((4, 8), dtype=np.float32)
    vectors[1], vectors[2, 0] = 8**-0.5, -1.0
    extend(tmp_path / "c", vectors, covered=0)
    copies = load(tmp_path / "c", 4, 8)
    assert copies.sifted(vectors[1], np.arange(4), 1).tolist() == [1]
    assert set(copies.sifted(vectors[1], np.arange(4), 3).tolist()) == {0, 1, 3}


def test_a_short_file_is_refused(tmp_path: Path) -> None:
    extend(tmp_path / "c", unit(10, 8, 3), covered=0)
    with pytest.raises(IndexStateError, match="too short for 11 rows"):
        load(tmp_path / "c", 11, 8)
