"""The products of ``scripts/kernels`` beside the same computed by NumPy in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ragstack.engine import library
from ragstack.testing.ggml import TYPES, Ggml, Graph

Array = NDArray[np.float32]

_BLOCK = {"Q6_K": 16}  # weights with a scale of their own, 32 elsewhere
_WIDE = {"Q4_K": 256, "Q5_K": 256, "Q6_K": 256}


@pytest.fixture(scope="module")
def ggml() -> Ggml:
    return Ggml()


@pytest.fixture(params=["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])
def kind(request: pytest.FixtureRequest) -> str:
    kernels = library.own_kernels()
    if kernels in ("", "attention alone") or (request.param == "Q8_0" and "VNNI" not in kernels):
        pytest.skip("llama.cpp's own products round tokens in blocks of another size")
    return str(request.param)


def _weights(ggml: Ggml, kind: str, rows: int, numbers: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(rows * numbers)
    weights = random.standard_normal((rows, numbers)) * np.exp(random.standard_normal((rows, 1)))
    return ggml.quantized((weights + 0.3).astype(np.float32), kind)


def _tokens(count: int, numbers: int) -> Array:
    random = np.random.default_rng(count)
    sizes = np.exp(2 * random.standard_normal((count, numbers // 32))).repeat(32, 1)
    tokens = random.standard_normal((count, numbers)) * sizes
    tokens[:, :32] = 0.0
    return tokens.astype(np.float32)


def _product(
    ggml: Ggml, kind: str, weights: NDArray[np.uint8], tokens: Array, threads: int = 2
) -> Array:
    def product(graph: Graph) -> int:
        return graph.make("mul_mat", graph.tensor(weights, kind), graph.tensor(tokens, "F32"))

    return ggml.compute(product, (len(tokens), len(weights)), threads)


def _expected(
    ggml: Ggml, kind: str, weights: NDArray[np.uint8], tokens: Array
) -> tuple[NDArray[np.float64], ...]:
    """Return the product, and that of what is added up without signs."""

    def plain(graph: Graph) -> int:
        return graph.make("cast", graph.tensor(weights, kind), TYPES["F32"].number)

    unpacked = ggml.compute(plain, (len(weights), tokens.shape[1])).astype(np.float64)
    blocks = tokens.reshape(len(tokens), -1, _BLOCK.get(kind, 32))
    most = np.abs(blocks).max(axis=2, keepdims=True)
    by = np.divide(np.float32(127), most, out=np.zeros_like(most), where=most > 0)
    rounded = np.rint(blocks * by).astype(np.float64) * (most / np.float32(127))
    rounded = rounded.reshape(tokens.shape)
    return rounded @ unpacked.T, np.abs(rounded) @ np.abs(unpacked).T


_SIZES = {  # rows of weights, pieces in a row, tokens
    "one vector": (32, 1, 1),
    "two": (64, 3, 2),
    "a row left over": (33, 2, 5),
    "rows beyond": (200, 7, 6),
    "rows that overlap": (47, 1, 7),
    "more tokens than registers": (96, 2, 8),
    "many tokens": (36, 3, 61),
    "tokens in parts": (32, 2, 300),
}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", _SIZES)
def test_it_is_what_numpy_says(ggml: Ggml, kind: str, name: str, threads: int) -> None:
    rows, pieces, count = _SIZES[name]
    numbers = _WIDE.get(kind, 32 * 9) * pieces
    weights, tokens = _weights(ggml, kind, rows, numbers), _tokens(count, numbers)
    found = _product(ggml, kind, weights, tokens, threads)
    expected, size = _expected(ggml, kind, weights, tokens)
    assert np.abs(expected).max() > 1
    assert (np.abs(found - expected) <= 1e-5 * size).all()


def test_a_token_comes_to_the_same_in_any_company(ggml: Ggml, kind: str) -> None:
    weights, tokens = _weights(ggml, kind, 80, 1536), _tokens(70, 1536)
    together = _product(ggml, kind, weights, tokens)
    for first, count, threads in ((0, 1, 1), (3, 2, 2), (11, 9, 3), (5, 33, 2), (69, 1, 5)):
        alone = _product(ggml, kind, weights, tokens[first : first + count], threads)
        assert np.array_equal(alone, together[first : first + count])
