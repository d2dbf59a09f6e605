"""The attention of ``scripts/kernels`` beside the same computed by NumPy in double precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ragstack.engine import library
from ragstack.testing.ggml import Ggml, Graph

Array = NDArray[np.float32]

_TYPES = {"F32": np.float32, "F16": np.float16}
_MASKED = -np.inf


@dataclass(frozen=True)
class _Case:
    """Sizes of an attention."""

    rows: int = 1
    cells: int = 100
    heads: int = 4
    shared: int = 2  # heads with the same keys
    wide: int = 64
    deep: int = 64
    kind: str = "F16"
    bias: float = 0.0
    cap: float = 0.0
    sinks: bool = False
    masked: bool = True
    seed: int = 0

    def inputs(self) -> tuple[Array, Array, Array, Array, Array]:
        """Return queries, keys, values (head, place, number), the mask and the sinks."""
        random = np.random.default_rng(self.seed)
        kept = self.heads // self.shared

        def numbers(*shape: int) -> Array:
            return random.standard_normal(shape).astype(np.float32)

        mask = np.where(random.random((self.rows, self.cells)) < 0.4, 0.0, _MASKED)
        mask[:, self.cells // 3 : self.cells // 3 + 130] = _MASKED  # another conversation
        if self.bias:
            mask += -np.abs(random.integers(0, 30, mask.shape))
        if self.rows > 2:
            mask[1] = _MASKED  # looks at nothing
        return (
            numbers(self.heads, self.rows, self.wide),
            numbers(kept, self.cells, self.wide),
            numbers(kept, self.cells, self.deep),
            mask.astype(np.float32),
            numbers(self.heads),
        )

    @property
    def scale(self) -> float:
        """The usual one."""
        return float(self.wide**-0.5)


@pytest.fixture(scope="module")
def ggml() -> Ggml:
    return Ggml()


def _computed(
    ggml: Ggml,
    case: _Case,
    inputs: tuple[Array, ...],
    threads: int = 2,
    positions: NDArray[np.int32] | None = None,
) -> Array:
    """Return what llama.cpp's library makes of it: (row, head, number)."""
    q, k, v, mask, sinks = inputs
    dtype = _TYPES[case.kind]

    def masked(graph: Graph) -> int:
        rows = mask.astype(np.float16)
        if positions is None:
            return graph.tensor(rows, "F16")
        behind = positions.astype(np.int32).view(np.float16).reshape(2, -1)
        return graph.rows(
            np.concatenate([rows, behind]),
            "F16",
            count=len(mask),
            name="attn_inp_kq_mask_and_positions",
        )

    def attention(graph: Graph) -> int:
        result = graph.make(
            "flash_attn_ext",
            graph.tensor(q, "F32"),
            graph.tensor(k.astype(dtype), case.kind),
            graph.tensor(v.astype(dtype), case.kind),
            masked(graph) if case.masked else None,
            case.scale,
            case.bias,
            case.cap,
        )
        if case.sinks:
            ggml.call("flash_attn_ext_add_sinks")(result, graph.tensor(sinks, "F32"))
        return result

    return ggml.compute(attention, (q.shape[1], case.heads, case.deep), threads)


def _expected(case: _Case, inputs: tuple[Array, ...]) -> NDArray[np.float64]:
    q, k, v, mask, sinks = (each.astype(np.float64) for each in inputs)
    dtype = _TYPES[case.kind]
    k, v = k.astype(dtype).astype(np.float64), v.astype(dtype).astype(np.float64)
    found = np.zeros((q.shape[1], case.heads, case.deep))
    power = 2 ** int(np.log2(case.heads))
    for head in range(case.heads):
        scores = q[head] @ k[head // case.shared].T * case.scale
        if case.cap:
            scores = case.cap * np.tanh(scores / case.cap)
        slope = 1.0
        if case.bias:
            slope = 2.0 ** (-case.bias * (head + 1) / power)
            if head >= power:
                slope = 2.0 ** (-case.bias / 2 * (2 * (head - power) + 1) / power)
        if case.masked:
            scores = scores + slope * mask
        least = sinks[head] if case.sinks else _MASKED
        most = np.maximum(scores.max(axis=1, initial=_MASKED), least)
        some = np.isfinite(most)
        weights = np.exp(scores[some] - most[some, None])
        whole = weights.sum(axis=1)
        if case.sinks:
            whole += np.exp(least - most[some])
        found[some, head] = weights @ v[head // case.shared] / whole[:, None]
    return found


_CASES = {
    "one row": _Case(),
    "one row, many cells": _Case(cells=1500, heads=14, shared=7),
    "one head each": _Case(rows=5, heads=3, shared=1, cells=70),
    "rows by heads beyond one part": _Case(rows=40, heads=12, shared=6, cells=300, deep=128),
    "a block and a cell": _Case(rows=2, cells=65),
    "fewer cells than a block": _Case(rows=3, cells=7),
    "many rows": _Case(rows=130, cells=400),
    "wider than deep": _Case(rows=9, wide=192, deep=128, heads=4, shared=4, cells=200),
    "narrow": _Case(rows=6, wide=16, deep=16, cells=90),
    "of odd width": _Case(rows=6, wide=80, deep=80, cells=90),
    "wide": _Case(rows=4, wide=256, deep=256, heads=8, shared=4, cells=150),
    "in single precision": _Case(rows=20, kind="F32", cells=260),
    "scores with a cap": _Case(rows=12, cap=5.0, cells=260),
    "far cells count less": _Case(rows=12, bias=8.0, heads=6, shared=3, cells=260),
    "sinks": _Case(rows=12, sinks=True, cells=260),
    "no mask": _Case(rows=17, masked=False, cells=75),
}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", _CASES)
def test_it_is_what_numpy_says(ggml: Ggml, name: str, threads: int) -> None:
    if not library.own_kernels():
        pytest.skip("llama.cpp's own attention sums in half precision")
    case = _CASES[name]
    inputs = case.inputs()
    found, expected = _computed(ggml, case, inputs, threads), _expected(case, inputs)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_row_comes_to_the_same_in_any_company(ggml: Ggml, seed: int) -> None:
    if not library.own_kernels():
        pytest.skip("llama.cpp's own attention computes few rows and many differently")
    case = _Case(rows=90, cells=390, heads=14, shared=7, seed=seed)
    q, k, v, _, sinks = case.inputs()
    mask = np.where(np.arange(390) <= 300 + np.arange(90)[:, None], 0.0, _MASKED)
    together = _computed(ggml, case, (q, k, v, mask.astype(np.float32), sinks))
    for row, threads in ((0, 1), (1, 2), (17, 5), (89, 3)):
        # Elsewhere in the cache too, behind what another conversation holds.
        behind = np.random.default_rng(row).integers(1, 200)
        other = np.full((14 // 7, behind, 64), 3.0, np.float32)
        alone = (
            q[:, row : row + 1],
            np.concatenate([other, k], axis=1),
            np.concatenate([other, v], axis=1),
            np.concatenate([np.full((1, behind), _MASKED), mask[row : row + 1]], axis=1),
            sinks,
        )
        found = _computed(ggml, replace(case, rows=1), alone, threads)
        assert np.array_equal(found[0], together[row])


def test_conversations_side_by_side_are_each_as_alone(ggml: Ggml) -> None:
    if not library.own_kernels():
        pytest.skip("llama.cpp's own attention computes few rows and many differently")
    case = _Case(rows=8, cells=200, heads=6, shared=3)
    q, k, v, _, sinks = case.inputs()
    ends = np.cumsum([0, 11, 3, 40, 1, 29, 64, 20, 32])
    mask = np.full((8, 200), _MASKED, np.float32)
    for row in range(8):
        mask[row, ends[row] : ends[row + 1]] = 0.0
    together = _computed(ggml, case, (q, k, v, mask, sinks))
    for row in range(8):
        own = slice(ends[row], ends[row + 1])
        alone = (q[:, row : row + 1], k[:, own], v[:, own], mask[row : row + 1, own], sinks)
        found = _computed(ggml, replace(case, rows=1), alone)
        assert np.array_equal(found[0], together[row])


def _skip_unless_it_knows_positions() -> None:
    if not library.tells_positions():
        pytest.skip("the build does not tell its attention where in a text a cell is")


def _scattered(
    inputs: tuple[Array, ...], positions: NDArray[np.int32], seed: int
) -> tuple[tuple[Array, ...], NDArray[np.int32]]:
    """Return the same with its cells in another order, empty ones and others' among them."""
    q, k, v, mask, sinks = inputs
    random = np.random.default_rng(seed)
    count = len(positions) + 150
    places = random.permutation(count)[: len(positions)]
    keys, values = (random.standard_normal((len(a), count, a.shape[2])) for a in (k, v))
    keys[:, places], values[:, places] = k, v
    looks = np.full((len(mask), count), _MASKED)
    looks[:, places] = mask
    at = random.integers(-1, 300, count)
    at[places] = positions
    found = tuple(each.astype(np.float32) for each in (q, keys, values, looks, sinks))
    return found, at.astype(np.int32)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("window", [10_000, 100])
def test_a_row_comes_to_the_same_wherever_its_cells_lie(ggml: Ggml, seed: int, window: int) -> None:
    _skip_unless_it_knows_positions()
    case = _Case(rows=30, cells=390, heads=6, shared=3, seed=seed)
    q, k, v, _, sinks = case.inputs()
    positions = np.arange(390, dtype=np.int32) + 37 * seed
    rows = 360 + np.arange(30)[:, None]
    seen = (np.arange(390) <= rows) & (np.arange(390) > rows - window)
    mask = np.where(seen, 0.0, _MASKED).astype(np.float32)
    inputs = (q, k, v, mask, sinks)
    in_order = _computed(ggml, case, inputs, positions=positions)
    scattered, places = _scattered(inputs, positions, seed)
    for threads in (1, 2):
        assert np.array_equal(_computed(ggml, case, scattered, threads, places), in_order)
    for row in (0, 11, 29):
        alone = (q[:, row : row + 1], k, v, mask[row : row + 1], sinks)
        found = _computed(ggml, replace(case, rows=1), alone, positions=positions)
        assert np.array_equal(found[0], in_order[row])


@pytest.mark.parametrize("seed", range(8))
def test_who_share_nearly_all_come_to_what_each_comes_to_alone(ggml: Ggml, seed: int) -> None:
    _skip_unless_it_knows_positions()
    random = np.random.default_rng(seed)
    own = random.integers(1, 9, 6)  # cells that each of six has behind 200 that all have
    case = _Case(rows=6, cells=200 + int(own.sum()), heads=6, shared=3, seed=seed)
    q, k, v, _, sinks = case.inputs()
    owner = np.concatenate([np.full(200, -1), np.repeat(np.arange(6), own)])
    positions = np.concatenate([np.arange(200), *(200 + np.arange(count) for count in own)])
    positions = positions.astype(np.int32)
    mask = np.where((owner == -1) | (owner == np.arange(6)[:, None]), 0.0, _MASKED)
    inputs = (q, k, v, mask.astype(np.float32), sinks)
    scattered, places = _scattered(inputs, positions, seed)
    together = _computed(ggml, case, scattered, positions=places)
    for row in range(6):
        mine = mask[row] == 0
        alone = (
            *(q[:, row : row + 1], k[:, mine], v[:, mine]),
            *(np.zeros((1, mine.sum()), np.float32), sinks),
        )
        found = _computed(ggml, replace(case, rows=1), alone, positions=positions[mine])
        assert np.array_equal(found[0], together[row])


@pytest.mark.parametrize("same", ["two", "an image", "far apart"])
def test_cells_that_make_no_order_are_computed_too(ggml: Ggml, same: str) -> None:
    _skip_unless_it_knows_positions()
    case = _Case(rows=5, cells=300)
    positions = np.arange(300, dtype=np.int32)
    if same == "two":
        positions[7] = 200
    elif same == "an image":
        positions[50:250] = 50
    else:
        positions *= 100_000
    inputs = case.inputs()
    found = _computed(ggml, case, inputs, positions=positions)
    np.testing.assert_allclose(found, _expected(case, inputs), atol=1e-5, rtol=1e-4)
