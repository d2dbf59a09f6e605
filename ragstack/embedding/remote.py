"""Texts in, unit vectors out, from any server that speaks OpenAI's ``/v1/embeddings``."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from ragstack.embedding.inputs import checked, unit
from ragstack.embedding.words import WordCounter
from ragstack.errors import ConfigError, RemoteError
from ragstack.http import SHOWN, JsonService
from ragstack.protocols import Vectors
from ragstack.types import Span

__all__ = ["RemoteEmbedder"]


class RemoteEmbedder:
    """An Embedder behind HTTP, and a TokenCounter that goes by words: servers show no tokens."""

    def __init__(
        self,
        *,
        url: str,
        model: str,
        key: Mapping[str, str] | None = None,
        dimensions: int = 0,
        batch: int = 64,
        timeout_s: float = 60.0,
    ) -> None:
        """Choose a server and a model of its; nothing is sent yet.

        Args:
            url: Address up to ``/v1``.
            key: ``{ env = "NAME" }``, the environment variable that holds the key.
            dimensions: Length of a vector, asked of the server; 0 takes the model's own.
            batch: Texts of one request.
            timeout_s: Of one request.

        Raises:
            ConfigError: One of them cannot be used.
        """
        if dimensions < 0 or batch < 1 or timeout_s <= 0:
            raise ConfigError(
                "dimensions, batch and timeout_s are positive, "
                f"got {dimensions!r}, {batch!r} and {timeout_s!r}"
            )
        self._model = model
        self._asked = dimensions
        self._batch = batch
        self._found = dimensions
        self._words = WordCounter()
        self._lock = threading.Lock()
        self._service = JsonService("embedding server", url, key=key, timeout_s=timeout_s)

    @property
    def dimensions(self) -> int:
        """Length of a vector; the server is asked once where it was not given."""
        with self._lock:
            if not self._found:
                self._found = len(self._request(["dimensions"])[0])
            return self._found

    @property
    def fingerprint(self) -> str:
        """The model's name and the dimensions asked for: a server tells no more."""
        return f"remote:{self._model}:{self._asked or 'own'}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order.

        Raises:
            RemoteError: The server refused, or could not be reached after several attempts.
        """
        texts = checked(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), self._batch):
            # Servers refuse the empty text, and an ingest should not fail for one.
            some = [text if text.strip() else " . " for text in texts[start : start + self._batch]]
            rows = self._request(some)
            if len(rows[0]) != vectors.shape[1]:
                raise RemoteError(
                    f"the embedding server gave vectors of {len(rows[0])} numbers for "
                    f"{self._model!r}; expected {vectors.shape[1]}",
                    hint="name the dimensions of the model in its options",
                )
            vectors[start : start + len(some)] = unit(np.array(rows, dtype=np.float32))
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order.

        Raises:
            RemoteError: The server refused, or could not be reached after several attempts.
        """
        return self.embed_documents(texts)

    def count(self, text: str) -> int:
        """Return the number of tokens, about."""
        return self._words.count(text)

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        return self._words.offsets(text)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _request(self, texts: list[str]) -> list[list[float]]:
        """Return one row for each text, at the length the server gives."""
        body: dict[str, Any] = {"model": self._model, "input": texts, "encoding_format": "float"}
        if self._asked:
            body["dimensions"] = self._asked
        return _rows(self._service.post("/embeddings", body), len(texts))


def _rows(response: httpx.Response, expected: int) -> list[list[float]]:
    try:
        data = response.json()["data"]
        rows = [item["embedding"] for item in sorted(data, key=lambda item: item["index"])]
        shape = np.array(rows, dtype=np.float32).shape
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteError(
            f"the embedding server answered {response.text[:SHOWN]!r}; "
            "expected {'data': [{'index': …, 'embedding': […]}, …]}"
        ) from error
    if len(shape) != 2 or shape[0] != expected or not shape[1] or not np.isfinite(rows).all():
        raise RemoteError(
            f"the embedding server gave an array of shape {shape!r} for {expected} texts; "
            "expected one row of finite numbers for each"
        )
    return rows
