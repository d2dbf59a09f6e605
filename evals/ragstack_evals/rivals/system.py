"""What the player asks of a system, and the embedder that all of them share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from ragstack.embedding.onnx import OnnxEmbedder
from ragstack.protocols import Vectors

__all__ = ["DEPTH", "PeerEmbedder", "SharedEmbedder", "System"]

DEPTH = 100
"""Candidates of each half of a hybrid search, where a system lets one say."""


class System(Protocol):
    """A retrieval system, empty at first."""

    def ingest(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Take in all documents, so that they can be searched for."""
        ...

    def search(self, query: str, k: int) -> list[str]:
        """Return the best ``k`` ids, best first."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class PeerEmbedder(Protocol):
    """What a system embeds with; ``seconds`` of its class counts the work on documents."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question."""
        ...

    def lists(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the rows of documents as lists, which most peers want."""
        ...


class SharedEmbedder(OnnxEmbedder):
    """ragstack's default embedder, which notes how long it worked.

    The same for every system, so that a difference in ingest is the system's own.
    """

    seconds = 0.0

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text."""
        begun = time.perf_counter()
        try:
            return super().embed_documents(texts)
        finally:
            SharedEmbedder.seconds += time.perf_counter() - begun

    def lists(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the rows as lists, which most peers want."""
        rows: list[list[float]] = self.embed_documents(texts).tolist()
        return rows
