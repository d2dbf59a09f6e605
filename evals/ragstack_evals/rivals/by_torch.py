"""The same model as most who use those frameworks run it: sentence-transformers, torch, float32."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer

from ragstack import models
from ragstack.protocols import Vectors

__all__ = ["TorchEmbedder"]

_MODEL = "all-minilm-l6-v2"
_LENGTH = 256
# What the model's own config.json says; the table of models carries weights and tokenizer alone.
_CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
_TOKENS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": _LENGTH,
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


class TorchEmbedder:
    """Stands in the place of ``SharedEmbedder``."""

    seconds = 0.0

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="ragstack-torch-") as made:
            folder = Path(made)
            for name in ("model.safetensors", "tokenizer.json"):
                (folder / name).symlink_to(models.path(_MODEL) / name)
            (folder / "config.json").write_text(json.dumps(_CONFIG), "utf-8")
            (folder / "tokenizer_config.json").write_text(json.dumps(_TOKENS), "utf-8")
            words = Transformer(str(folder), max_seq_length=_LENGTH)
        parts = [words, Pooling(_CONFIG["hidden_size"])]
        self._model: Any = SentenceTransformer(modules=parts, device="cpu")

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text."""
        begun = time.perf_counter()
        try:
            return self._embed(texts)
        finally:
            TorchEmbedder.seconds += time.perf_counter() - begun

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question."""
        return self._embed(texts)

    def lists(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the rows as lists."""
        rows: list[list[float]] = self.embed_documents(texts).tolist()
        return rows

    def close(self) -> None:
        """It holds nothing that the process's end does not free."""

    def _embed(self, texts: Sequence[str]) -> Vectors:
        rows = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(rows, dtype=np.float32)
