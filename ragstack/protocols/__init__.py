"""The seams: what each room promises to the others. Small Protocols, nothing to inherit.

Each promise here is a test in ``ragstack.testing``; a plug-in subclasses the suite of its kind and
overrides one method. Common to all: inputs are never mutated; empty in, empty out; a lone ``str``
where a sequence of strings is expected is refused with InputError; what holds a model, a file or a
connection also has ``close()``, which may be called twice.
"""

from __future__ import annotations

from ragstack.protocols.generation import Attributor, Capabilities, Generator, Scorer, Tool
from ragstack.protocols.storage import (
    Catalog,
    Conversations,
    Documents,
    GraphStore,
    Index,
    Journal,
    Reranker,
    Settings,
)
from ragstack.protocols.text import (
    Chunker,
    Closeable,
    Connector,
    Embedder,
    Loader,
    SparseEmbedder,
    TokenCounter,
    TokenEmbedder,
    TokenVectors,
    Vectors,
)

__all__ = [
    "Attributor",
    "Capabilities",
    "Catalog",
    "Chunker",
    "Closeable",
    "Connector",
    "Conversations",
    "Documents",
    "Embedder",
    "Generator",
    "GraphStore",
    "Index",
    "Journal",
    "Loader",
    "Reranker",
    "Scorer",
    "Settings",
    "SparseEmbedder",
    "TokenCounter",
    "TokenEmbedder",
    "TokenVectors",
    "Tool",
    "Vectors",
]
