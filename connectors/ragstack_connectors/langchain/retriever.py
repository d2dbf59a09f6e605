"""A ragstack base in, a LangChain retriever out: passages become documents."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from ragstack import Passage

__all__ = ["RagstackRetriever", "document_of"]


class RagstackRetriever(BaseRetriever):
    """Searches a base; a ``Stack`` or, over HTTP, a ``Client``.

    Options of one call (``k``, ``where``, ``asker``, …) may be given to ``invoke`` by name.

    Attributes:
        stack: What is searched.
        k: Documents wanted; None is as configured.
        where: Only passages whose metadata match: ``{"language": "fr"}``.
        asker: The user who asks and their groups.
        min_score: Leave out what scores less.
        transforms: What is done with the question, by name; None is as configured.
    """

    stack: Any = Field(repr=False)
    k: int | None = None
    where: Any = None
    asker: tuple[str, ...] = ()
    collection: str = "default"
    min_score: Any = None
    transforms: tuple[str, ...] | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        chosen = {
            name: options.get(name, getattr(self, name))
            for name in ("k", "where", "asker", "collection", "min_score", "transforms")
        }
        return [document_of(passage) for passage in self.stack.search(query, **chosen)]


def document_of(passage: Passage) -> Document:
    """Return a passage as a document: where it stands in its source is in the metadata.

    ``source``, ``document_id``, ``start`` and ``end`` name the passage, so that a quote from it can
    be checked; ``score`` and ``trail`` say why it was found.
    """
    chunk = passage.chunk
    return Document(
        id=chunk.id,
        page_content=chunk.text,
        metadata={
            **chunk.meta,
            **({"context": chunk.context} if chunk.context else {}),
            "source": passage.source,
            "document_id": chunk.document_id,
            "start": chunk.start,
            "end": chunk.end,
            "kind": chunk.kind,
            "score": passage.score,
            "trail": dict(passage.trail),
        },
    )
