"""BERT weights in, an ONNX graph out. Knows nothing about files, texts or tokenizers.

The encoder of Devlin et al. 2019 (arXiv:1810.04805), written with onnxruntime's fused operators,
because a graph of plain ones is slower to run and slower to load. Inputs: ``ids`` and ``mask``,
int32 (texts, tokens), padded on the right. Outputs: ``tokens`` (texts, tokens, width), the last
layer; ``pooled`` (texts, width), the mean over the unmasked tokens, not normalised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import ModelError

__all__ = ["VERSION", "BertShape", "save"]

VERSION = 2
"""Counts up when the same weights would give other vectors; earlier ones can still be written."""


_OPSET = 17
_IR_VERSION = 8
_FUSED = "com.microsoft"
# Seven bits: processors without VNNI add two products of 8 by 8 bits in 16 and would saturate. So
# every processor gives the same vectors, at a cost in cosine of 0.001.
_LEVELS = 63
_FLOAT = 1  # onnx.TensorProto.FLOAT

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class BertShape:
    """What the weights alone do not tell.

    Attributes:
        heads: Attention heads of each layer.
        epsilon: Added to the variance by every layer norm.
    """

    heads: int
    epsilon: float = 1e-12


def save(
    folder: Path,
    tensors: Mapping[str, Array],
    shape: BertShape,
    *,
    int8: bool = False,
    version: int = VERSION,
) -> None:
    """Write the encoder with mean pooling as ``graph.onnx``, its weights as ``graph.data``.

    Args:
        tensors: By their names in a BertModel checkpoint (``encoder.layer.0.…``).
        int8: Multiply by 7-bit weights, one scale for each column; what is multiplied gets one
            scale for each batch when it runs, so that only batches of one text are reproducible.

    Raises:
        ModelError: A tensor is not there.
        OSError: The folder cannot be written.
    """
    try:
        graph = _Graph(tensors, shape, int8, version)
        graph.build()
    except KeyError as error:
        raise ModelError(
            f"the weights hold no tensor {error.args[0]!r}; expected those of a BertModel"
        ) from error
    width = int(tensors["embeddings.word_embeddings.weight"].shape[1])
    _write(folder, graph, width)


def _write(folder: Path, graph: _Graph, width: int) -> None:
    # Imported here because this runs once on a machine, and every search would wait 60 ms for it.
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "length"])
        for name in ("ids", "mask")
    ]
    outputs = [
        helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["texts", "length", width]),
        helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["texts", width]),
    ]
    nodes = [
        helper.make_node(
            node.kind, node.inputs, node.outputs, domain=node.domain, **dict(node.options)
        )
        for node in graph.nodes
    ]
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in graph.weights.items()
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "bert", inputs, outputs, weights),
        producer_name="ragstack",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)],
    )
    onnx.save(model, str(folder / "graph.onnx"), save_as_external_data=True, location="graph.data")


@dataclass(frozen=True, slots=True)
class _Node:
    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    domain: str
    options: Mapping[str, Any]


@dataclass(slots=True)
class _Graph:
    tensors: Mapping[str, Array]
    shape: BertShape
    int8: bool
    version: int
    nodes: list[_Node] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)

    def build(self) -> None:
        if self.version > 1:
            # Scales and shifts for as many rows as a text has tokens: InstanceNormalization's.
            self.node("Shape", ["ids"], "length", domain="", start=1, end=2)
            for name, value in (("ones", 1.0), ("zeros", 0.0)):
                one = self.weight(f"{name}.value", np.array([value], dtype=np.float32))
                self.node("Expand", [one, "length"], name, domain="")
        hidden, layer = self.embeddings(), 0
        while layer == 0 or f"encoder.layer.{layer}.output.dense.weight" in self.tensors:
            hidden = self.layer(layer, hidden)
            layer += 1
        self.pooling(hidden)

    def embeddings(self) -> str:
        positions = self.tensors["embeddings.position_embeddings.weight"]
        # Every text is one segment, so the segment's vector joins the positions' for good.
        positions = positions + self.tensors["embeddings.token_type_embeddings.weight"][0]
        inputs = [
            "ids",
            "",
            self.weight("words", self.tensors["embeddings.word_embeddings.weight"]),
            self.weight("positions", positions),
            "",
            self.weight("embed.gamma", self.tensors["embeddings.LayerNorm.weight"]),
            self.weight("embed.beta", self.tensors["embeddings.LayerNorm.bias"]),
            "mask",
        ]
        self.node("EmbedLayerNormalization", inputs, "embed", "lengths", epsilon=self.shape.epsilon)
        return "embed"

    def layer(self, number: int, hidden: str) -> str:
        source, name = f"encoder.layer.{number}", f"layer{number}"
        attended = self.attention(f"{source}.attention.self", hidden, f"{name}.attention")
        dense = self.dense(f"{source}.attention.output", attended, f"{name}.project")
        hidden = self.add_norm(f"{source}.attention.output", dense, hidden, f"{name}.middle")
        grown = self.dense(f"{source}.intermediate", hidden, f"{name}.grow")
        bias = self.weight(f"{name}.grow.bias", self.tensors[f"{source}.intermediate.dense.bias"])
        active = self.node("BiasGelu", [grown, bias], f"{name}.gelu")
        dense = self.dense(f"{source}.output", active, f"{name}.shrink")
        return self.add_norm(f"{source}.output", dense, hidden, name)

    def attention(self, source: str, value: str, name: str) -> str:
        parts = [f"{source}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self.tensors[f"{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([self.tensors[f"{part}.bias"] for part in parts])
        biases, heads = self.weight(f"{name}.bias", bias), self.shape.heads
        if not self.int8:
            inputs = [value, self.weight(f"{name}.weight", weight), biases, "lengths"]
            return self.node("Attention", inputs, name, num_heads=heads)
        scaled = [f"{name}.{part}" for part in ("input", "scale", "zero")]
        self.node("DynamicQuantizeLinear", [value], *scaled, domain="")
        weight_q, weight_scale, weight_zero = self.quantized(f"{name}.weight", weight)
        inputs = [scaled[0], weight_q, biases, scaled[1], weight_scale, "lengths", scaled[2]]
        return self.node("QAttention", [*inputs, weight_zero], name, num_heads=heads)

    def dense(self, source: str, value: str, name: str) -> str:
        """Multiply by a layer's weight; its bias is added by the fused operator that follows."""
        weight = self.tensors[f"{source}.dense.weight"].T
        if not self.int8:
            return self.node(
                "MatMul", [value, self.weight(f"{name}.weight", weight)], name, domain=""
            )
        return self.node(
            "DynamicQuantizeMatMul", [value, *self.quantized(f"{name}.weight", weight)], name
        )

    def add_norm(self, source: str, value: str, skip: str, name: str) -> str:
        gamma = self.weight(f"{name}.gamma", self.tensors[f"{source}.LayerNorm.weight"])
        beta = self.weight(f"{name}.beta", self.tensors[f"{source}.LayerNorm.bias"])
        bias = self.weight(f"{name}.bias", self.tensors[f"{source}.dense.bias"])
        if self.version == 1:
            inputs = [value, skip, gamma, beta, bias]
            return self.node("SkipLayerNormalization", inputs, name, epsilon=self.shape.epsilon)
        # The norm of a row is its instance norm, each row being a channel. onnxruntime computes
        # that with vectors, and its fused operator, 53 microseconds for 20 rows, one by one.
        plain = {"domain": ""}
        self.node("Add", [value, skip], f"{name}.skipped", **plain)
        self.node("Add", [f"{name}.skipped", bias], f"{name}.sum", **plain)
        rows = [f"{name}.sum", "ones", "zeros"]
        self.node(
            "InstanceNormalization", rows, f"{name}.norm", epsilon=self.shape.epsilon, **plain
        )
        self.node("Mul", [f"{name}.norm", gamma], f"{name}.scaled", **plain)
        return self.node("Add", [f"{name}.scaled", beta], name, **plain)

    def pooling(self, hidden: str) -> None:
        plain = {"domain": ""}
        axis = self.weight("axis", np.array([1], dtype=np.int64))
        self.node("Identity", [hidden], "tokens", **plain)
        self.node("Cast", ["mask"], "mask.float", to=_FLOAT, **plain)
        self.node("Unsqueeze", ["mask.float", axis], "mask.row", **plain)
        self.node("MatMul", ["mask.row", hidden], "sum.row", **plain)
        self.node("Squeeze", ["sum.row", axis], "sum", **plain)
        self.node("ReduceSum", ["mask.float", axis], "count", keepdims=1, **plain)
        self.node("Div", ["sum", "count"], "pooled", **plain)

    def quantized(self, name: str, weight: Array) -> list[str]:
        """Symmetric, one scale for each column: names of the integers, scales and zero points."""
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-12) / _LEVELS
        integers = np.rint(weight / scale).astype(np.int8)
        zero = np.zeros(scale.shape, dtype=np.int8)
        return [
            self.weight(f"{name}.integers", integers),
            self.weight(f"{name}.scale", scale.astype(np.float32)),
            self.weight(f"{name}.zero", zero),
        ]

    def weight(self, name: str, value: Array) -> str:
        self.weights[name] = value
        return name

    def node(
        self, kind: str, inputs: list[str], *outputs: str, domain: str = _FUSED, **options: Any
    ) -> str:
        self.nodes.append(_Node(kind, inputs, outputs, domain, options))
        return outputs[0]
