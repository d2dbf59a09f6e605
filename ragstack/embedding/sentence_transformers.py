"""Texts in, unit vectors out, by any model that sentence-transformers runs (extra ``torch``)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from ragstack.embedding.inputs import checked, encodable, unit
from ragstack.errors import ModelUnavailable
from ragstack.protocols import Vectors
from ragstack.types import Span

__all__ = ["SentenceTransformersEmbedder"]

_BLOCK = 1 << 20


class SentenceTransformersEmbedder:
    """An Embedder and TokenCounter. A model that reads questions by a prompt of its own gets it."""

    def __init__(
        self,
        *,
        model: str = "sentence-transformers/all-MiniLM-L6-v2",
        revision: str = "",
        device: str = "",
        batch: int = 32,
    ) -> None:
        """Load a model.

        Args:
            model: A name on the hub, or a folder.
            revision: A commit of the hub's repository; empty takes the newest.
            device: ``cpu``, ``cuda``, …; empty takes the best there is.
            batch: Texts run at once.

        Raises:
            ModelUnavailable: It cannot be fetched or read.
        """
        try:
            self._model: Any = SentenceTransformer(
                model, device=device or None, revision=revision or None
            )
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"sentence-transformers cannot load {model!r}: {error}",
                hint="expected a model of the hub, or a folder that holds one",
            ) from error
        # Else a document that holds "[SEP]" would end its own text.
        self._model.tokenizer.split_special_tokens = True
        self._batch = batch
        self._name = Path(model).name if Path(model).is_dir() else model
        self._version = _version(self._model, Path(model), revision)
        self._dimensions = int(self._model.encode_document([""], show_progress_bar=False).shape[1])

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def fingerprint(self) -> str:
        """Model, its commit or the hash of its weights, and the tokens it reads."""
        return f"sentence_transformers:{self._name}:{self._version}:{self._model.max_seq_length}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order."""
        return self._embed(self._model.encode_document, texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order."""
        return self._embed(self._model.encode_query, texts)

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        return len(self.offsets(text))

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        encoded = self._model.tokenizer(
            encodable(text),
            add_special_tokens=False,
            truncation=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [(start, end) for start, end in encoded["offset_mapping"]]

    def close(self) -> None:
        """Give the model's memory back."""
        self._model.to("cpu")

    def _embed(self, encode: Any, texts: Sequence[str]) -> Vectors:
        found = checked(texts)
        if not found:
            return np.empty((0, self._dimensions), dtype=np.float32)
        return unit(encode(found, batch_size=self._batch, show_progress_bar=False))


def _version(model: Any, folder: Path, revision: str) -> str:
    """Return what tells this model's weights from others of its name."""
    if not folder.is_dir():
        config = getattr(model[0], "auto_model", model[0])
        commit = getattr(getattr(config, "config", None), "_commit_hash", None)
        return str(commit or revision or "newest")[:16]
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".bin", ".json"):
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    state.update(block)
    return state.hexdigest()[:16]
