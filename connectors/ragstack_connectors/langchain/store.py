"""A collection of a ragstack base as a LangChain vector store."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from ragstack import Passage, Stack
from ragstack.errors import InputError
from ragstack_connectors.kept import Item, Kept, Question, scalars
from ragstack_connectors.langchain.embeddings import RagstackEmbeddings

__all__ = ["RagstackVectorStore"]


class RagstackVectorStore(VectorStore):
    """Texts with metadata in a collection; found by words and meaning, as the base searches.

    What is added is a document of the base too: ``ragstack search`` and ``ask`` find and cite it.
    Documents come back as they were given, metadata and all.

    Args:
        stack: The base. Its embedder embeds; one of LangChain is given to the base itself:
            ``Stack.open(…, overrides={"embed": {"use": "langchain", "embeddings": …}})``.
        collection: Best one of its own.
    """

    def __init__(self, stack: Stack, collection: str = "langchain") -> None:
        self._kept = Kept(stack, "langchain", collection)
        self._owned: Stack | None = None

    @property
    def embeddings(self) -> Embeddings:
        """The base's embedder."""
        return RagstackEmbeddings(self._kept.stack.parts.embedder)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts in place of those of their ids, and return the ids.

        Raises:
            InputError: As many ids or metadata as texts were expected; metadata JSON cannot hold.
        """
        given = list(texts)
        metas = list(metadatas) if metadatas is not None else [{} for _ in given]
        names = list(ids) if ids is not None else [None] * len(given)
        if not len(given) == len(metas) == len(names):
            raise InputError(
                f"{len(given)} texts, {len(metas)} metadatas and {len(names)} ids were given"
            )
        chosen = [name or str(uuid.uuid4()) for name in names]
        self._kept.put(
            [
                Item(one, text, scalars(meta), {"id": one, "text": text, "metadata": dict(meta)})
                for one, text, meta in zip(chosen, given, metas, strict=True)
            ]
        )
        return chosen

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Forget these documents, or all of them; the unknown are ignored."""
        self._kept.delete(self._kept.ids() if ids is None else ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return those that are there, in the order of ``ids``."""
        return [_document(body) for body in self._kept.get(ids)]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the ``k`` best documents.

        Args:
            filter: Only those whose metadata match: ``{"year": {"gte": 2020}}``.
            asker: The user who asks and their groups.
        """
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the ``k`` best documents, each with the base's own score; higher is better."""
        return [(_document(body), passage.score) for body, passage in self._find(query, k, kwargs)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """Return ``k`` of the ``fetch_k`` best that differ from each other.

        Args:
            lambda_mult: 1 looks at likeness to the question alone, 0 at difference alone.
        """
        found = [_document(body) for body, _ in self._find(query, max(fetch_k, k), kwargs)]
        if not found:
            return []
        embedder = self._kept.stack.parts.embedder
        rows = embedder.embed_documents([document.page_content for document in found])
        asked = np.asarray(embedder.embed_queries([query])[0])
        chosen = maximal_marginal_relevance(asked, list(rows), lambda_mult=lambda_mult, k=k)
        return [found[place] for place in chosen]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> RagstackVectorStore:
        """Return a store with these texts.

        Args:
            embedding: What embeds, in a base that is opened here; None, or one made from a
                ragstack embedder, leaves it to the base.
            stack: The base; or
            base: its folder, opened here and closed by ``close``.
            collection: Of the base.
        """
        stack, base = kwargs.pop("stack", None), kwargs.pop("base", None)
        if (stack is None) == (base is None):
            raise InputError("a store is made in a base", hint="give either stack= or base=")
        foreign = embedding is not None and not isinstance(embedding, RagstackEmbeddings)
        if foreign and stack is not None:
            raise InputError(
                "the base given has an embedder of its own", hint="give base= in place of stack="
            )
        embed = {"embed": {"use": "langchain", "embeddings": embedding}} if foreign else {}
        opened = stack or Stack.open(base, overrides=embed)
        store = cls(opened, **kwargs)
        store._owned = None if stack is not None else opened
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def close(self) -> None:
        """Close the base if ``from_texts`` opened it. A second call does nothing."""
        if self._owned is not None:
            self._owned.close()

    def _select_relevance_score_fn(self) -> Any:
        return lambda score: score

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        # Between 0 and 1, as LangChain wants it: the cosine, where the vector index found it.
        threshold = kwargs.pop("score_threshold", None)
        found = [(_document(b), _likeness(p)) for b, p in self._find(query, k, kwargs)]
        return [pair for pair in found if threshold is None or pair[1] >= threshold]

    def _find(
        self, query: str, k: int, options: Mapping[str, Any]
    ) -> list[tuple[Mapping[str, Any], Passage]]:
        where = options.get("filter") or options.get("where")
        return self._kept.search(Question(query, k, where, tuple(options.get("asker", ()))))


def _document(body: Mapping[str, Any]) -> Document:
    return Document(id=body["id"], page_content=body["text"], metadata=dict(body["metadata"]))


def _likeness(passage: Passage) -> float:
    return min(1.0, max(0.0, passage.trail.get("vector", 0.0)))
