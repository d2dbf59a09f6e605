"""A BERT of 300 kB with random weights, so that embedding and ranking need no download in tests.

Its vocabulary has letters, digits, signs and a few words; what else there is, it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragstack.testing.tiny_model import write_gguf

__all__ = ["TinyEncoder"]

_ARCHITECTURE = "bert"
_WIDTH, _HEADS, _LAYERS, _FEED = 64, 4, 2, 96
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = ("the", "roof", "pays", "for", "who", "repairs", "to", "trust", "tenant", "lease")


@dataclass(frozen=True, slots=True)
class TinyEncoder:
    """How a tiny encoder is made.

    Attributes:
        pooling: llama.cpp's number: 1 mean, 2 cls, 3 last, 4 rank; None says nothing.
        labels: Names of what a rank head tells; it has such a head where there are some.
        more: Laid over the metadata.
    """

    pooling: int | None = 1
    labels: tuple[str, ...] = ()
    context_length: int = 128
    seed: int = 0
    more: Mapping[str, object] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write it as GGUF and return the path."""
        tokens = _tokens()
        metadata: dict[str, object] = {
            "general.architecture": _ARCHITECTURE,
            "general.name": "tiny-bert",
            f"{_ARCHITECTURE}.context_length": self.context_length,
            f"{_ARCHITECTURE}.embedding_length": _WIDTH,
            f"{_ARCHITECTURE}.block_count": _LAYERS,
            f"{_ARCHITECTURE}.feed_forward_length": _FEED,
            f"{_ARCHITECTURE}.attention.head_count": _HEADS,
            f"{_ARCHITECTURE}.attention.layer_norm_epsilon": 1e-12,
            f"{_ARCHITECTURE}.attention.causal": False,
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.token_type_count": 2,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": _kinds(len(tokens)),
            "tokenizer.ggml.padding_token_id": _MARKS.index("[PAD]"),
            "tokenizer.ggml.unknown_token_id": _MARKS.index("[UNK]"),
            "tokenizer.ggml.bos_token_id": _MARKS.index("[CLS]"),
            "tokenizer.ggml.seperator_token_id": _MARKS.index("[SEP]"),  # llama.cpp's spelling
            "tokenizer.ggml.mask_token_id": _MARKS.index("[MASK]"),
        }
        if self.pooling is not None:
            metadata[f"{_ARCHITECTURE}.pooling_type"] = self.pooling
        if self.labels:
            metadata[f"{_ARCHITECTURE}.classifier.output_labels"] = list(self.labels)
        metadata |= self.more
        write_gguf(path, metadata, self._weights(len(tokens)))
        return path

    def _weights(self, vocabulary: int) -> dict[str, NDArray[np.float32]]:
        random = np.random.default_rng(self.seed)

        def matrix(rows: int, columns: int) -> NDArray[np.float32]:
            values = random.standard_normal((rows, columns)) / np.sqrt(columns)
            return np.asarray(values, dtype=np.float32)

        def norm(name: str) -> dict[str, NDArray[np.float32]]:
            one, zero = np.ones(_WIDTH, np.float32), np.zeros(_WIDTH, np.float32)
            return {f"{name}.weight": one, f"{name}.bias": zero}

        tensors = {
            "token_embd.weight": matrix(vocabulary, _WIDTH) * 8,
            "token_types.weight": matrix(2, _WIDTH),
            "position_embd.weight": matrix(self.context_length, _WIDTH),
            **norm("token_embd_norm"),
        }
        for layer in range(_LAYERS):
            block = f"blk.{layer}"
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                tensors[f"{block}.{name}.weight"] = matrix(_WIDTH, _WIDTH)
                tensors[f"{block}.{name}.bias"] = np.zeros(_WIDTH, np.float32)
            tensors |= {
                **norm(f"{block}.attn_output_norm"),
                f"{block}.ffn_up.weight": matrix(_FEED, _WIDTH),
                f"{block}.ffn_up.bias": np.zeros(_FEED, np.float32),
                f"{block}.ffn_down.weight": matrix(_WIDTH, _FEED),
                f"{block}.ffn_down.bias": np.zeros(_WIDTH, np.float32),
                **norm(f"{block}.layer_output_norm"),
            }
        if self.labels:
            tensors["cls.weight"] = matrix(_WIDTH, _WIDTH)
            tensors["cls.bias"] = np.zeros(_WIDTH, np.float32)
            tensors["cls.output.weight"] = matrix(len(self.labels), _WIDTH)
            tensors["cls.output.bias"] = np.zeros(len(self.labels), np.float32)
        return tensors


def _tokens() -> list[str]:
    """Return the vocabulary as llama.cpp has it: beginnings of words carry a sign before them."""
    signs = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper()]
    return [*_MARKS, *(f"▁{sign}" for sign in signs), *signs, *(f"▁{word}" for word in _WORDS)]


def _kinds(count: int) -> list[int]:
    marks = [_UNKNOWN if mark == "[UNK]" else _CONTROL for mark in _MARKS]
    return marks + [_NORMAL] * (count - len(marks))
