"""A BERT of four layers' worth of nothing: random weights, a vocabulary of letters and words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

Tensors = Mapping[str, NDArray[Any]]

WORDS = ("the", "a", "who", "pays", "for", "damage", "tenant", "qui", "paie", "##paration", "roof")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SIGNS = "[].,?!:;'’-_|<>()*/=+"
WIDTH, INNER, LAYERS, POSITIONS = 16, 40, 2, 64


@pytest.fixture(scope="session")
def tiny_tensors() -> Tensors:
    """Weights by their names in a checkpoint."""
    random = np.random.default_rng(7)
    vocabulary = len(_vocabulary())

    def made(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 0.4, shape).astype(np.float32)

    tensors: dict[str, NDArray[Any]] = {
        "embeddings.word_embeddings.weight": made(vocabulary, WIDTH),
        "embeddings.position_embeddings.weight": made(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": made(2, WIDTH),
        "embeddings.LayerNorm.weight": 1 + made(WIDTH),
        "embeddings.LayerNorm.bias": made(WIDTH),
        "embeddings.position_ids": np.arange(POSITIONS, dtype=np.int64)[None],
    }
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        sizes = {
            "attention.self.query": (WIDTH, WIDTH),
            "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH),
            "output.dense": (WIDTH, INNER),
        }
        for name, size in sizes.items():
            tensors[f"{prefix}.{name}.weight"] = made(*size)
            tensors[f"{prefix}.{name}.bias"] = made(size[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors[f"{prefix}.{name}.weight"] = 1 + made(WIDTH)
            tensors[f"{prefix}.{name}.bias"] = made(WIDTH)
    return tensors


@pytest.fixture(scope="session")
def write_safetensors() -> Callable[[Path, Tensors], str]:
    """A function that writes arrays to a file and returns its SHA-256."""

    def write(path: Path, tensors: Tensors) -> str:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        data = b""
        for name, value in tensors.items():
            kind = {"float32": "F32", "int64": "I64", "float16": "F16"}[str(value.dtype)]
            block = value.tobytes()
            offsets = [len(data), len(data) + len(block)]
            header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": offsets}
            data += block
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return write


@pytest.fixture(scope="session")
def tiny_folder(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_tensors: Tensors,
    write_safetensors: Callable[[Path, Tensors], str],
) -> Path:
    """A folder with model.safetensors and tokenizer.json."""
    folder = tmp_path_factory.mktemp("tiny")
    write_safetensors(folder / "model.safetensors", tiny_tensors)
    tokenizer = Tokenizer(models.WordPiece(_vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    # As published files do: what is truncated or padded here must not be.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _vocabulary() -> dict[str, int]:
    letters = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *letters, *SIGNS]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}
