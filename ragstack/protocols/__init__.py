"""The seams: what each room promises to the others. Small Protocols, nothing to inherit.

Each promise here is a test in ``ragstack.testing``; a plug-in subclasses the suite of its kind and
overrides one method. Common to all: inputs are never mutated; empty in, empty out; a lone ``str``
where a sequence of strings is expected is refused with InputError; what holds a model, a file or a
connection also has ``close()``, which may be called twice.
"""

from __future__ import annotations

from ragstack.protocols.generation import Attributor, Capabilities, Generator, Scorer, Tool
from ragstack.protocols.storage import (
    Auditable,
    Catalog,
    Compactable,
    Conversations,
    Documents,
    GraphStore,
    Index,
    Journal,
    Reranker,
    Settings,
)
from ragstack.protocols.text import (
    ChunkEmbedder,
    Chunker,
    Closeable,
    Connector,
    Embedder,
    Expansion,
    Loader,
    TokenCounter,
    TokenEmbedder,
    TokenVectors,
    Vectors,
)

__all__ = [
    "Attributor",
    "Auditable",
    "Capabilities",
    "Catalog",
    "ChunkEmbedder",
    "Chunker",
    "Closeable",
    "Compactable",
    "Connector",
    "Conversations",
    "Documents",
    "Embedder",
    "Expansion",
    "Generator",
    "GraphStore",
    "Index",
    "Journal",
    "Loader",
    "Reranker",
    "Scorer",
    "Settings",
    "TokenCounter",
    "TokenEmbedder",
    "TokenVectors",
    "Tool",
    "Vectors",
]
