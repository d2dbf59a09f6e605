"""A language model of 200 kB with random weights, so that an engine is tested without a download.

It writes nonsense, always the same; its vocabulary has bytes, a few merges and the usual marks.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONTROL_TOKENS",
    "QWEN_TEMPLATE",
    "SMOL_TEMPLATE",
    "TinyAdapter",
    "TinyModel",
    "vocabulary_metadata",
    "write_gguf",
]

CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED_TOKENS = ("<tool_call>", "</tool_call>", "<think>", "</think>")
_END = CONTROL_TOKENS.index("<|im_end|>")

_ARCHITECTURE = "llama"
_HEADS, _KV_HEADS, _LAYERS = 4, 2, 2
_WIDTH, _FEED = 64, 96
_WIDE, _WIDE_FEED = 256, 512
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
_ALIGNMENT = 32

SMOL_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN_TEMPLATE = (
    "{%- if tools %}{{- '<|im_start|>system\n' }}"
    "{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}"
    "{{- '# Tools\n<tools>' }}{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}"
    "{{- '\n</tools>\nCall one within <tool_call></tool_call>.<|im_end|>\n' }}"
    "{%- elif messages[0].role == 'system' %}"
    "{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' or message.role == 'system' and not loop.first "
    "or message.role == 'assistant' and not message.tool_calls %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant' }}"
    "{%- for call in message.tool_calls %}"
    '{{- \'\n<tool_call>\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{- call.function.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}"
    "{{- '<|im_end|>\n' }}"
    "{%- elif message.role == 'tool' %}"
    "{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response>' }}"
    "{{- '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


@dataclass(frozen=True, slots=True)
class TinyModel:
    """How a tiny model is made.

    Attributes:
        sentencepiece: Words begin with a space of their own, as in Llama 2.
        wide: Rows are long enough for formats that round 256 numbers together.
        marks: Control tokens beside the usual ones.
    """

    template: str = QWEN_TEMPLATE
    context_length: int = 512
    sentencepiece: bool = False
    seed: int = 0
    wide: bool = False
    marks: tuple[str, ...] = ()

    def write(self, path: Path) -> Path:
        """Write it as GGUF and return the path."""
        width, feed = (_WIDE, _WIDE_FEED) if self.wide else (_WIDTH, _FEED)
        metadata: dict[str, object] = {
            "general.architecture": _ARCHITECTURE,
            "general.name": "tiny",
            f"{_ARCHITECTURE}.context_length": self.context_length,
            f"{_ARCHITECTURE}.embedding_length": width,
            f"{_ARCHITECTURE}.block_count": _LAYERS,
            f"{_ARCHITECTURE}.feed_forward_length": feed,
            f"{_ARCHITECTURE}.rope.dimension_count": width // _HEADS,
            f"{_ARCHITECTURE}.attention.head_count": _HEADS,
            f"{_ARCHITECTURE}.attention.head_count_kv": _KV_HEADS,
            f"{_ARCHITECTURE}.attention.layer_norm_rms_epsilon": 1e-5,
            **vocabulary_metadata(
                self.template, sentencepiece=self.sentencepiece, marks=self.marks
            ),
        }
        tokens = metadata["tokenizer.ggml.tokens"]
        assert isinstance(tokens, list)
        write_gguf(path, metadata, _weights(len(tokens), self.seed, width, feed))
        return path


@dataclass(frozen=True, slots=True)
class TinyAdapter:
    """How a LoRA adapter of small random weights is made for a tiny model.

    Attributes:
        metadata: Laid over what an adapter has; None takes a key away.
        tensors: Laid over the pairs, likewise.
    """

    seed: int = 0
    rank: int = 4
    metadata: Mapping[str, object] = field(default_factory=dict)
    tensors: Mapping[str, NDArray[np.float32] | None] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write it as GGUF and return the path."""
        metadata: dict[str, object] = {
            "general.architecture": _ARCHITECTURE,
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.lora.alpha": float(2 * self.rank),
            **self.metadata,
        }
        tensors: dict[str, NDArray[np.float32] | None] = {**self._pairs(), **self.tensors}
        write_gguf(
            path,
            {key: value for key, value in metadata.items() if value is not None},
            {name: tensor for name, tensor in tensors.items() if tensor is not None},
        )
        return path

    def _pairs(self) -> dict[str, NDArray[np.float32]]:
        random = np.random.default_rng(self.seed)
        pairs: dict[str, NDArray[np.float32]] = {}
        for name, base in _weights(len(_bytes_and_merges()[0]), 0).items():
            if base.ndim < 2 or name == "output.weight":
                continue
            rows, columns = base.shape
            embedding = name == "token_embd.weight"  # looked up by row: its A stands on end
            first = (rows, self.rank) if embedding else (self.rank, columns)
            second = (columns, self.rank) if embedding else (rows, self.rank)
            for side, shape in (("lora_a", first), ("lora_b", second)):
                values = random.standard_normal(shape) * 0.2
                pairs[f"{name}.{side}"] = np.asarray(values, dtype=np.float32)
        return pairs


def vocabulary_metadata(
    template: str, *, sentencepiece: bool = False, marks: Sequence[str] = ()
) -> dict[str, object]:
    """Return what a header says of the tokens and of how a conversation is written.

    Args:
        marks: Control tokens beside the usual ones.
    """
    tokens, kinds, merges = _sentencepiece() if sentencepiece else _bytes_and_merges()
    usual = len(tokens) - len(_marks())
    tokens[usual:usual], kinds[usual:usual] = marks, [_CONTROL] * len(marks)
    metadata: dict[str, object] = {
        "tokenizer.ggml.model": "llama" if sentencepiece else "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.eos_token_id": len(tokens) - len(_marks()) + _END,
        "tokenizer.ggml.bos_token_id": len(tokens) - len(_marks()),
    }
    if sentencepiece:
        metadata["tokenizer.ggml.scores"] = [-float(i) for i in range(len(tokens))]
        metadata["tokenizer.ggml.unknown_token_id"] = 0
    else:
        metadata["tokenizer.ggml.pre"] = "smollm"
        metadata["tokenizer.ggml.merges"] = merges
    if template:
        metadata["tokenizer.chat_template"] = template
    return metadata


def _marks() -> tuple[str, ...]:
    return CONTROL_TOKENS + USER_DEFINED_TOKENS


def _mark_kinds() -> list[int]:
    return [_CONTROL] * len(CONTROL_TOKENS) + [_USER_DEFINED] * len(USER_DEFINED_TOKENS)


def _bytes_and_merges() -> tuple[list[str], list[int], list[str]]:
    """Return a GPT-2 vocabulary: every byte by its printable sign, and some merges."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    signs = {byte: chr(byte) for byte in printable}
    signs |= {byte: chr(0x100 + i) for i, byte in enumerate(set(range(256)) - set(printable))}
    merges = ["t h", "th e", "i n", "e r", "Ġ the", "Ġ a", "o u", "r e", "Ã ©", "Ċ Ċ"]
    tokens = [signs[byte] for byte in range(256)] + [m.replace(" ", "") for m in merges]
    kinds = [_NORMAL] * len(tokens) + _mark_kinds()
    return [*tokens, *_marks()], kinds, merges


def _sentencepiece() -> tuple[list[str], list[int], list[str]]:
    """Return a Llama vocabulary: bytes as a last resort, letters, a few words."""
    words = ["▁", *map(chr, range(0x21, 0x7F)), "▁t", "▁th", "▁the", "▁a", "he"]
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [_UNKNOWN] + [_BYTE] * 256 + [_NORMAL] * len(words) + _mark_kinds()
    return [*tokens, *_marks()], kinds, []


def _weights(
    vocabulary: int, seed: int, width: int = _WIDTH, feed: int = _FEED
) -> dict[str, NDArray[np.float32]]:
    """Return random tensors; shapes are (rows, columns), as numpy has them."""
    random = np.random.default_rng(seed)
    head = width // _HEADS

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        values = random.standard_normal((rows, columns)) / np.sqrt(columns)
        return np.asarray(values, dtype=np.float32)

    tensors = {
        "token_embd.weight": matrix(vocabulary, width) * 8,
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": matrix(vocabulary, width) * 4,
    }
    for layer in range(_LAYERS):
        tensors |= {
            f"blk.{layer}.attn_norm.weight": np.ones(width, np.float32),
            f"blk.{layer}.attn_q.weight": matrix(width, width),
            f"blk.{layer}.attn_k.weight": matrix(_KV_HEADS * head, width),
            f"blk.{layer}.attn_v.weight": matrix(_KV_HEADS * head, width),
            f"blk.{layer}.attn_output.weight": matrix(width, width),
            f"blk.{layer}.ffn_norm.weight": np.ones(width, np.float32),
            f"blk.{layer}.ffn_gate.weight": matrix(feed, width),
            f"blk.{layer}.ffn_up.weight": matrix(feed, width),
            f"blk.{layer}.ffn_down.weight": matrix(width, feed),
        }
    return tensors


def write_gguf(
    path: Path, metadata: Mapping[str, object], tensors: Mapping[str, NDArray[np.float32]]
) -> None:
    """Write a GGUF file of version 3; tensors are float32, arrays of one kind."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += _text(key) + _value(value)
    offset = 0
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", 0, offset)
        offset += _padded(tensor.nbytes)
    body = b"".join(t.tobytes().ljust(_padded(t.nbytes), b"\0") for t in tensors.values())
    path.write_bytes(head.ljust(_padded(len(head)), b"\0") + body)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: object) -> bytes:
    if isinstance(value, Sequence) and not isinstance(value, str):
        # llama.cpp wants token types as int32, and takes scalars as uint32.
        items = [
            struct.pack("<Ii", 5, item) if isinstance(item, int) else _value(item) for item in value
        ]
        return (
            struct.pack("<I", 9)
            + items[0][:4]
            + struct.pack("<Q", len(items))
            + b"".join(item[4:] for item in items)
        )
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<I", 8) + _text(str(value))
