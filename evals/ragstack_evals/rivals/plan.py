"""The systems that are compared: what each needs, and what a reader of its numbers must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ragstack.errors import InputError

__all__ = ["OURS", "SYSTEMS", "Rival", "chosen"]

OURS = "ragstack"


@dataclass(frozen=True, slots=True)
class Rival:
    """A system that takes part.

    Attributes:
        module: Of this package; its ``open_system(embedder)`` returns a ``System``.
        packages: What its environment needs beside ragstack's own; none runs here.
        bare: Install these packages alone, without what they require.
        torch: It has the same model run by torch in float32, where all others share ragstack's
            embedder. Only who names it gets it: torch is 5 GB.
        note: How it is set up.
    """

    module: str
    packages: tuple[str, ...] = ()
    bare: bool = False
    torch: bool = False
    note: str = ""

    def environment(self, name: str) -> str:
        """Return whose environment runs the rival of this name; those of torch share one."""
        return "torch" if self.torch else name.replace(" ", "-")


_LANGCHAIN = ("langchain-classic==1.0.8", "langchain-community==0.4.2", "rank-bm25==0.2.2")
_TORCH = (*_LANGCHAIN, "sentence-transformers==6.2.0", "torch==2.15.0")


SYSTEMS: Mapping[str, Rival] = {
    OURS: Rival(
        module="play_ragstack",
        note="as configured: catalog, journal and indexes on disk, every commit durable",
    ),
    "by hand": Rival(
        module="play_bare",
        note="bm25s (Lucene, stems, stop words) + numpy matrix + RRF, in memory",
    ),
    "langchain": Rival(
        module="play_langchain",
        packages=_LANGCHAIN,
        note="EnsembleRetriever: BM25Retriever (splits at spaces, its default) + FAISS, 100 each",
    ),
    "llama-index": Rival(
        module="play_llama_index",
        packages=("llama-index-core==0.14.25", "llama-index-retrievers-bm25==0.8.0"),
        note="QueryFusionRetriever, reciprocal_rerank: BM25Retriever + VectorStoreIndex, 100 each",
    ),
    "haystack": Rival(
        module="play_haystack",
        packages=("haystack-ai==3.4.0",),
        note="InMemoryDocumentStore, both retrievers (100 each), DocumentJoiner by ranks",
    ),
    "txtai": Rival(
        module="play_txtai",
        # All that it requires beside is here already, but torch and transformers, which a hybrid
        # index with vectors from outside never imports.
        packages=("txtai==9.14.0", "msgpack==1.2.4", "regex==2026.11.15"),
        bare=True,
        note="hybrid=True with external vectors; torch is not installed and not needed for it",
    ),
    "by hand torch": Rival(
        module="play_bare",
        packages=_TORCH,
        torch=True,
        note="as by hand, the model run by sentence-transformers and torch in float32",
    ),
    "langchain torch": Rival(
        module="play_langchain",
        packages=_TORCH,
        torch=True,
        note="as langchain, the model run by sentence-transformers and torch in float32",
    ),
}
"""Who takes part, by name, in the order of the table."""


def chosen(only: list[str] | None) -> list[str]:
    """Return the names that take part; ragstack always does, what needs torch when it is named.

    Raises:
        InputError: A name that nobody has.
    """
    for name in only or ():
        if name not in SYSTEMS:
            raise InputError(f"no system is named {name!r}; known: {', '.join(SYSTEMS)}")
    asked = only or [name for name, rival in SYSTEMS.items() if not rival.torch]
    return [name for name in SYSTEMS if name in asked or name == OURS]
