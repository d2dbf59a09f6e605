"""Tiny models of the kinds that read otherwise than a dense one, of a megabyte at most.

Shapes are those that llama.cpp's ``src/models`` asks for, by architecture. Weights are
random: they write nonsense, always the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragstack.testing.tiny_model import QWEN_TEMPLATE, vocabulary_metadata, write_gguf

__all__ = ["ARCHITECTURES", "TinyKind"]

Tensors = dict[str, NDArray[np.float32]]

_WIDTH, _HEADS, _KV_HEADS, _LAYERS, _FEED, _EXPERTS = 64, 4, 2, 4, 64, 4
_HEAD = _WIDTH // _HEADS
_INNER, _STATE, _KERNEL, _RANK = 2 * _WIDTH, 16, 4, 8  # llama.cpp wants twice the width
_SHORT = 3
_WINDOW = 24
_ATTENDING = (1, 3)  # of a hybrid's layers


@dataclass(frozen=True, slots=True)
class TinyKind:
    """How a tiny model of one architecture is made.

    Attributes:
        architecture: One of ``ARCHITECTURES``.
        metadata: Laid over what its header has; None takes a key away.
    """

    architecture: str
    context_length: int = 512
    template: str = QWEN_TEMPLATE
    seed: int = 0
    metadata: Mapping[str, object] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write it as GGUF and return the path."""
        keys, layer = _ARCHITECTURES[self.architecture]
        tokens = vocabulary_metadata(self.template)
        random = _Random(self.seed)
        names = tokens["tokenizer.ggml.tokens"]
        assert isinstance(names, list)
        tensors: Tensors = {
            "token_embd.weight": random.matrix(len(names), _WIDTH) * 8,
            "output.weight": random.matrix(len(names), _WIDTH) * 4,
            _LAST_NORM.get(self.architecture, "output_norm.weight"): _ones(_WIDTH),
        }
        if self.architecture in _TIED:
            # The words read are the words written: of other signs, else each calls for itself.
            tensors |= {
                "token_embd.weight": random.matrix(len(names), _WIDTH),
                "output_norm.weight": random.matrix(_WIDTH) * 32,
            }
            del tensors["output.weight"]
        for number in range(_LAYERS):
            for name, values in layer(random, number).items():
                tensors[f"blk.{number}.{name}"] = values
        said: dict[str, object] = {
            "general.architecture": self.architecture,
            "general.name": f"tiny {self.architecture}",
            **{
                f"{self.architecture}.{key}": value
                for key, value in {**_COMMON, "context_length": self.context_length, **keys}.items()
            },
            **tokens,
            **self.metadata,
        }
        write_gguf(path, {k: v for k, v in said.items() if v is not None}, tensors)
        return path


class _Random:
    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def matrix(self, *shape: int) -> NDArray[np.float32]:
        """Return random values; shapes are (rows, columns), as numpy has them."""
        values = self._random.standard_normal(shape) / np.sqrt(shape[-1])
        return np.asarray(values, dtype=np.float32)


def _ones(*shape: int) -> NDArray[np.float32]:
    return np.ones(shape, np.float32)


def _attention(random: _Random, kv_heads: int = _KV_HEADS) -> Tensors:
    return {
        "attn_norm.weight": _ones(_WIDTH),
        "attn_q.weight": random.matrix(_WIDTH, _WIDTH),
        "attn_k.weight": random.matrix(kv_heads * _HEAD, _WIDTH),
        "attn_v.weight": random.matrix(kv_heads * _HEAD, _WIDTH),
        "attn_output.weight": random.matrix(_WIDTH, _WIDTH),
    }


def _feed(random: _Random) -> Tensors:
    return {
        "ffn_norm.weight": _ones(_WIDTH),
        "ffn_gate.weight": random.matrix(_FEED, _WIDTH),
        "ffn_up.weight": random.matrix(_FEED, _WIDTH),
        "ffn_down.weight": random.matrix(_WIDTH, _FEED),
    }


def _experts(random: _Random) -> Tensors:
    return {
        "ffn_norm.weight": _ones(_WIDTH),
        # Sure of its first expert: where two tie for the second place, either weighs little, and
        # the shape of a step may choose.
        "ffn_gate_inp.weight": random.matrix(_EXPERTS, _WIDTH) * 16,
        "ffn_gate_exps.weight": random.matrix(_EXPERTS, _FEED, _WIDTH),
        "ffn_up_exps.weight": random.matrix(_EXPERTS, _FEED, _WIDTH),
        "ffn_down_exps.weight": random.matrix(_EXPERTS, _WIDTH, _FEED),
    }


def _mamba(random: _Random, _layer: int) -> Tensors:
    # A state that forgets slowly, so that what stood far back still tells.
    decay = np.asarray(np.tile(np.arange(1, _STATE + 1) / _STATE, (_INNER, 1)), np.float32)
    return {
        "attn_norm.weight": _ones(_WIDTH),
        "ssm_in.weight": random.matrix(2 * _INNER, _WIDTH) * 2,
        "ssm_conv1d.weight": random.matrix(_INNER, _KERNEL) * 2,
        "ssm_conv1d.bias": random.matrix(_INNER),
        "ssm_x.weight": random.matrix(_RANK + 2 * _STATE, _INNER) * 2,
        "ssm_dt.weight": random.matrix(_INNER, _RANK),
        "ssm_dt.bias": random.matrix(_INNER) - 3,
        "ssm_a": np.negative(decay),
        "ssm_d": _ones(_INNER),
        "ssm_out.weight": random.matrix(_WIDTH, _INNER),
    }


def _jamba(random: _Random, layer: int) -> Tensors:
    norms = {
        "ssm_dt_norm.weight": _ones(_RANK),
        "ssm_b_norm.weight": _ones(_STATE),
        "ssm_c_norm.weight": _ones(_STATE),
    }
    reads = _attention(random) if layer in _ATTENDING else {**_mamba(random, layer), **norms}
    return {**reads, **(_experts(random) if layer % 2 else _feed(random))}


def _lfm2(random: _Random, layer: int) -> Tensors:
    if layer in _ATTENDING:
        norms = {"attn_q_norm.weight": _ones(_HEAD), "attn_k_norm.weight": _ones(_HEAD)}
        return {**_attention(random), **norms, **_feed(random)}
    return {
        "attn_norm.weight": _ones(_WIDTH),
        "shortconv.conv.weight": random.matrix(_WIDTH, _SHORT) * 2,
        "shortconv.in_proj.weight": random.matrix(3 * _WIDTH, _WIDTH) * 2,
        "shortconv.out_proj.weight": random.matrix(_WIDTH, _WIDTH),
        **_feed(random),
    }


def _gemma2(random: _Random, _layer: int) -> Tensors:
    norms = {"post_attention_norm.weight": _ones(_WIDTH), "post_ffw_norm.weight": _ones(_WIDTH)}
    return {**_attention(random), **norms, **_feed(random)}


def _qwen2vl(random: _Random, _layer: int) -> Tensors:
    biases = {
        "attn_q.bias": random.matrix(_WIDTH),
        "attn_k.bias": random.matrix(_KV_HEADS * _HEAD),
        "attn_v.bias": random.matrix(_KV_HEADS * _HEAD),
    }
    return {**_attention(random), **biases, **_feed(random)}


def _olmoe(random: _Random, _layer: int) -> Tensors:
    norms = {"attn_q_norm.weight": _ones(_WIDTH), "attn_k_norm.weight": _ones(_WIDTH)}
    return {**_attention(random, _HEADS), **norms, **_experts(random)}


_COMMON: Mapping[str, object] = {
    "embedding_length": _WIDTH,
    "block_count": _LAYERS,
    "feed_forward_length": _FEED,
    "attention.head_count": _HEADS,
    "attention.head_count_kv": _KV_HEADS,
    "attention.layer_norm_rms_epsilon": 1e-5,
}
_SSM = {
    "ssm.conv_kernel": _KERNEL,
    "ssm.inner_size": _INNER,
    "ssm.state_size": _STATE,
    "ssm.time_step_rank": _RANK,
}
_BY_LAYER = {
    "attention.head_count_kv": [_KV_HEADS * (n in _ATTENDING) for n in range(_LAYERS)],
}
_USED = {"expert_count": _EXPERTS, "expert_used_count": 2}

_ARCHITECTURES: Mapping[
    str, tuple[Mapping[str, object], Callable[[_Random, int], Tensors]]
] = {
    "gemma2": (
        {
            "attention.key_length": _HEAD,
            "attention.value_length": _HEAD,
            "attention.sliding_window": _WINDOW,
        },
        _gemma2,
    ),
    "jamba": ({**_SSM, **_BY_LAYER, **_USED}, _jamba),
    "lfm2": ({"shortconv.l_cache": _SHORT, **_BY_LAYER}, _lfm2),
    "mamba": ({**_SSM, "attention.head_count": 0, "attention.head_count_kv": 0}, _mamba),
    "olmoe": ({**_USED, "attention.head_count_kv": _HEADS}, _olmoe),
    "qwen2vl": ({"rope.dimension_sections": [2, 3, 3, 0]}, _qwen2vl),
}  # fmt: skip
_LAST_NORM = {"lfm2": "token_embd_norm.weight"}
_TIED = frozenset(("gemma2",))

ARCHITECTURES = tuple(_ARCHITECTURES)
"""A sliding window, two hybrids, a recurrent one, a mixture of experts, and one for pictures."""
