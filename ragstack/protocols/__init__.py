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
    Live,
    Records,
    Reranker,
    Settings,
)
from ragstack.protocols.text import (
    ChunkEmbedder,
    Chunker,
    Closeable,
    Connector,
    DatedEmbedder,
    Embedder,
    Expansion,
    Loader,
    SparseEmbedder,
    TokenCounter,
    TokenEmbedder,
    TokenVectors,
    Vectors,
)
from ragstack.protocols.transforms import (
    Arranger,
    Desk,
    Field,
    Plan,
    Query,
    Review,
    Reviewer,
    Transform,
    Verdict,
)

__all__ = [
    "Arranger",
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
    "DatedEmbedder",
    "Desk",
    "Documents",
    "Embedder",
    "Expansion",
    "Field",
    "Generator",
    "GraphStore",
    "Index",
    "Journal",
    "Live",
    "Loader",
    "Plan",
    "Query",
    "Records",
    "Reranker",
    "Review",
    "Reviewer",
    "Scorer",
    "Settings",
    "SparseEmbedder",
    "TokenCounter",
    "TokenEmbedder",
    "TokenVectors",
    "Tool",
    "Transform",
    "Vectors",
    "Verdict",
]
