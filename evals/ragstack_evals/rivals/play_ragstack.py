"""ragstack as it is configured: a base in a temporary folder, filled as any document is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ragstack_evals.datasets import Collection, JudgedDocument
from ragstack_evals.retrieval_base import Base, build_base
from ragstack_evals.retrieval_run import searches_of
from ragstack_evals.rivals.system import SharedEmbedder, System

__all__ = ["open_system"]


class _Ragstack:
    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ragstack-rivals-")
        self._base: Base | None = None

    def ingest(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        documents = tuple(JudgedDocument(i, "", text) for i, text in zip(ids, texts, strict=True))
        collection = Collection("rivals", documents, {}, {})
        self._base = build_base(collection, Path(self._folder.name) / "base", form="document")
        self._search = searches_of(self._base)["hybrid"]

    def search(self, query: str, k: int) -> list[str]:
        return self._search(query, k)

    def close(self) -> None:
        if self._base is not None:
            self._base.stack.close()
        self._folder.cleanup()


def open_system(_embedder: SharedEmbedder) -> System:
    """Return the system; its embedder is the configured one, which the player has timed too."""
    return _Ragstack()
