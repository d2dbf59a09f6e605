"""Embedders of ragstack as LangChain embeddings, and the other way round."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from ragstack.errors import ConfigError, GenerationError, InputError
from ragstack.protocols import Embedder, Vectors

__all__ = ["LangchainEmbedder", "RagstackEmbeddings"]

_PROBE = "ragstack"
_BATCH = 256


class RagstackEmbeddings(Embeddings):
    """Embeds as an embedder of ragstack does: ``stack.parts.embedder`` is that of a base."""

    def __init__(self, embedder: Embedder) -> None:
        if not hasattr(embedder, "embed_queries"):
            raise InputError(f"embedder is {embedder!r}; an embedder of ragstack was expected")
        self.embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector of length 1 for each text."""
        return [[float(value) for value in row] for row in self.embedder.embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        """Return a vector of length 1."""
        return [float(value) for value in self.embedder.embed_queries([text])[0]]


class LangchainEmbedder:
    """An Embedder that asks LangChain embeddings; the name ``langchain`` of kind ``embedders``.

    Args:
        embeddings: The object; so it can be given by a program and not by ``ragstack.toml``.
        name: Names the vectors: give it another whenever the same text would get another vector.
            Else its class and its model's name.

    Raises:
        ConfigError: ``embeddings`` is no LangChain embeddings.
    """

    def __init__(self, embeddings: Any, *, name: str = "") -> None:
        if not isinstance(embeddings, Embeddings):
            raise ConfigError(
                f"embeddings is {embeddings!r}; an object of LangChain was expected",
                hint='Stack.open(…, overrides={"embed": {"use": "langchain", "embeddings": …}})',
            )
        self._embeddings = embeddings
        self._name = name or _named(embeddings)
        self._dimensions = 0

    @property
    def dimensions(self) -> int:
        """Length of a vector; found out by embedding a word."""
        if not self._dimensions:
            self._dimensions = len(self._ask([_PROBE], queries=True)[0])
        return self._dimensions

    @property
    def fingerprint(self) -> str:
        """The name of the embeddings."""
        return f"langchain:{self._name}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order."""
        return self._rows(texts, queries=False)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order."""
        return self._rows(texts, queries=True)

    def _rows(self, texts: Sequence[str], *, queries: bool) -> Vectors:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"texts is a list of texts, got {texts!r}")
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        # Services refuse blank texts and halves of a sign; a vector they have all the same.
        sent = [_sendable(text) for text in texts]
        found: list[list[float]] = []
        for start in range(0, len(sent), _BATCH):
            found += self._ask(sent[start : start + _BATCH], queries=queries)
        try:
            rows = np.asarray(found, np.float64)
        except ValueError as error:
            raise GenerationError(f"{self._name!r} gave vectors of several lengths") from error
        if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all():
            raise GenerationError(
                f"{self._name!r} gave an array of shape {rows.shape} for {len(texts)} texts, "
                "one row of finite numbers for each was expected"
            )
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.where(lengths > 0, rows, 1.0)  # of length 0: any direction serves
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = rows.astype(np.float32)
        return unit

    def _ask(self, texts: list[str], *, queries: bool) -> list[list[float]]:
        try:
            if queries:
                return [self._embeddings.embed_query(text) for text in texts]
            return self._embeddings.embed_documents(texts)
        # Other people's code, which fails in ways of its own.
        except Exception as error:
            raise GenerationError(
                f"{self._name!r} failed: {type(error).__name__}: {error}"
            ) from error


def _named(embeddings: Embeddings) -> str:
    model = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None)
    kind = type(embeddings)
    if isinstance(model, str):
        return f"{kind.__qualname__}:{model}"
    plain = sorted(
        (key, value)
        for key, value in vars(embeddings).items()
        if isinstance(value, (str, int, float, bool))
    )
    digest = hashlib.sha256(repr(plain).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kind.__qualname__}:{digest}"


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode() if text.strip() else " "
