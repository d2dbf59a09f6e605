"""An embedder and chunks in, the vectors that any vector index keeps of them out."""

from __future__ import annotations

from collections.abc import Sequence

from ragstack.protocols import ChunkEmbedder, Embedder, Vectors
from ragstack.types import Chunk

__all__ = ["vectors_of"]


def vectors_of(embedder: Embedder, chunks: Sequence[Chunk]) -> Vectors:
    """Return one row for each chunk: of the chunk where the embedder can, else of its text."""
    if isinstance(embedder, ChunkEmbedder):
        return embedder.embed_chunks(chunks)
    return embedder.embed_documents([chunk.indexed_text for chunk in chunks])
