"""The graph against a forward pass in plain numpy, written from the papers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ragstack.embedding import bert_graph
from ragstack.embedding.bert_graph import BertShape
from ragstack.embedding.graph_store import open_session
from ragstack.errors import ModelError

Tensors = Mapping[str, NDArray[Any]]
HEADS = 4
EPSILON = 1e-6
IDS = np.array([[2, 9, 5, 11, 30, 3], [2, 40, 3, 0, 0, 0]], dtype=np.int32)
MASK = (IDS != 0).astype(np.int32)


def _norm(x: NDArray[Any], gamma: NDArray[Any], beta: NDArray[Any]) -> NDArray[Any]:
    spread = np.sqrt(x.var(axis=-1, keepdims=True) + EPSILON)
    return (x - x.mean(axis=-1, keepdims=True)) / spread * gamma + beta


def _gelu(x: NDArray[Any]) -> NDArray[Any]:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _forward(t: Tensors, ids: NDArray[Any]) -> NDArray[Any]:
    """One text, no padding: Devlin et al. 2019 on Vaswani et al. 2017."""
    t = {name: value.astype(np.float64) for name, value in t.items()}
    x = t["embeddings.word_embeddings.weight"][ids]
    x = x + t["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + t["embeddings.token_type_embeddings.weight"][0]
    x = _norm(x, t["embeddings.LayerNorm.weight"], t["embeddings.LayerNorm.bias"])
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in t:
        p = f"encoder.layer.{layer}"

        def dense(name: str, value: NDArray[Any], p: str = p) -> NDArray[Any]:
            return value @ t[f"{p}.{name}.weight"].T + t[f"{p}.{name}.bias"]

        q, k, v = (
            dense(f"attention.self.{name}", x).reshape(len(ids), HEADS, -1).swapaxes(0, 1)
            for name in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ v).swapaxes(0, 1).reshape(len(ids), -1)
        name = f"{p}.attention.output.LayerNorm"
        x = _norm(
            x + dense("attention.output.dense", mixed), t[f"{name}.weight"], t[f"{name}.bias"]
        )
        inner = _gelu(dense("intermediate.dense", x))
        name = f"{p}.output.LayerNorm"
        x = _norm(x + dense("output.dense", inner), t[f"{name}.weight"], t[f"{name}.bias"])
        layer += 1
    return x


def _run(folder: Path, output: str) -> NDArray[Any]:
    session = open_session(folder)
    (found,) = session.run([output], {"ids": IDS, "mask": MASK})
    return np.asarray(found)


@pytest.mark.parametrize("version", range(1, bert_graph.VERSION + 1))
def test_tokens_and_mean_are_those_of_the_papers(
    tmp_path: Path, tiny_tensors: Tensors, version: int
) -> None:
    bert_graph.save(tmp_path, tiny_tensors, BertShape(HEADS, EPSILON), version=version)
    tokens, pooled = _run(tmp_path, "tokens"), _run(tmp_path, "pooled")
    for row in range(len(IDS)):
        length = MASK[row].sum()
        expected = _forward(tiny_tensors, IDS[row, :length])
        assert tokens[row, :length] == pytest.approx(expected, abs=1e-4)
        assert pooled[row] == pytest.approx(expected.mean(axis=0), abs=1e-4)


def test_int8_is_near(tmp_path: Path, tiny_tensors: Tensors) -> None:
    bert_graph.save(tmp_path, tiny_tensors, BertShape(HEADS, EPSILON), int8=True)
    pooled = _run(tmp_path, "pooled")
    for row in range(len(IDS)):
        expected = _forward(tiny_tensors, IDS[row, : MASK[row].sum()]).mean(axis=0)
        cosine = pooled[row] @ expected / np.linalg.norm(pooled[row]) / np.linalg.norm(expected)
        assert cosine > 0.98
    assert pooled != pytest.approx(_run_fp32(tmp_path, tiny_tensors), abs=1e-5)


def _run_fp32(folder: Path, tensors: Tensors) -> NDArray[Any]:
    place = folder / "fp32"
    place.mkdir()
    bert_graph.save(place, tensors, BertShape(HEADS, EPSILON))
    return _run(place, "pooled")


@pytest.mark.parametrize(
    "name",
    [
        "embeddings.position_embeddings.weight",
        "encoder.layer.0.attention.self.key.bias",
        "encoder.layer.0.output.dense.weight",
        "encoder.layer.1.output.LayerNorm.bias",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, tiny_tensors: Tensors, name: str) -> None:
    tensors = {key: value for key, value in tiny_tensors.items() if key != name}
    with pytest.raises(ModelError, match=name):
        bert_graph.save(tmp_path, tensors, BertShape(HEADS))
