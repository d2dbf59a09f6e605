"""A cross-encoder small enough for tests: an ONNX graph that counts the words two texts share.

Its weights are set by hand, so that what it should say of a pair can be reckoned in the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

__all__ = ["write_cross_encoder"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def write_cross_encoder(folder: Path, words: Sequence[str], *, labels: int = 1) -> Path:
    """Write ``model.onnx`` and ``tokenizer.json`` into a folder and return it.

    The score of a pair is how many of ``words`` stand in both texts, each counted as often as it
    stands in the text that has fewer of it.

    Args:
        labels: 1 gives the score; 2 gives its negative too, as the first label; 3 is no reranker.
    """
    vocabulary = {word: number for number, word in enumerate((*_SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(_SPECIAL))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    onnx.save(_graph(len(vocabulary), labels), str(folder / "model.onnx"))
    return folder


def _graph(size: int, labels: int) -> onnx.ModelProto:
    # What is special counts nothing.
    counted = np.array([0.0] * len(_SPECIAL) + [1.0] * (size - len(_SPECIAL)), dtype=np.float32)
    heads = np.array([[[1.0]], [[-1.0, 1.0]], [[-1.0, 0.0, 1.0]]][labels - 1], dtype=np.float32)
    constants: dict[str, NDArray[Any]] = {
        "size": np.array([size], dtype=np.int64),
        "hot": np.array([0.0, 1.0], dtype=np.float32),
        "counted": counted,
        "tokens": np.array([1], dtype=np.int64),
        "head": heads,
    }
    nodes = [
        helper.make_node("OneHot", ["input_ids", "size", "hot"], ["every"], axis=-1),
        helper.make_node("Mul", ["every", "counted"], ["words"]),
        helper.make_node("Cast", ["token_type_ids"], ["kinds"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["kinds", "mask"], ["second"]),
        helper.make_node("Sub", ["mask", "second"], ["first"]),
        *(
            node
            for name in ("first", "second")
            for node in (
                helper.make_node("Unsqueeze", [name, "minus"], [f"{name}_column"]),
                helper.make_node("Mul", ["words", f"{name}_column"], [f"{name}_words"]),
                helper.make_node(
                    "ReduceSum", [f"{name}_words", "tokens"], [f"{name}_bag"], keepdims=0
                ),
            )
        ),
        helper.make_node("Min", ["first_bag", "second_bag"], ["shared"]),
        helper.make_node("ReduceSum", ["shared", "tokens"], ["score"], keepdims=1),
        helper.make_node("MatMul", ["score", "head"], ["logits"]),
    ]
    constants["minus"] = np.array([-1], dtype=np.int64)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["pairs", "length"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["pairs", labels])]
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "shared", inputs, outputs, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
