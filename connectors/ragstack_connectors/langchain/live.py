"""A LangChain retriever as a live source of ragstack: asked at question time, cited like others."""

from __future__ import annotations

from typing import Any

from langchain_core.retrievers import BaseRetriever

from ragstack import Source
from ragstack.errors import ConfigError, RemoteError
from ragstack.types import READ_TEXT
from ragstack_connectors.kept import scalars
from ragstack_connectors.langchain.loading import address_of

__all__ = ["LangchainLive"]


class LangchainLive:
    """Asks a LangChain retriever; the name ``langchain`` of kind ``live``.

    Args:
        retriever: The object; so it can be given by a program alone.
        prefix: Put before each address, so that none is taken for a document of the base.

    Raises:
        ConfigError: ``retriever`` is no LangChain retriever.
    """

    def __init__(self, retriever: Any, *, prefix: str = "langchain:") -> None:
        if not isinstance(retriever, BaseRetriever):
            raise ConfigError(f"retriever is {retriever!r}; a LangChain retriever was expected")
        self._retriever = retriever
        self._prefix = prefix

    def ask(self, question: str, *, k: int) -> list[Source]:
        """Return what the retriever finds, best first, at most ``k``.

        Raises:
            RemoteError: It failed.
        """
        try:
            documents = self._retriever.invoke(question)
        # Other people's code, which fails in ways of its own.
        except Exception as error:
            name = type(self._retriever).__name__
            raise RemoteError(f"{name} failed: {type(error).__name__}: {error}") from error
        return [
            Source(
                self._prefix + address_of(document),
                document.page_content.encode("utf-8", "replace"),
                media_type=READ_TEXT,
                meta=scalars(document.metadata),
            )
            for document in documents[:k]
        ]
