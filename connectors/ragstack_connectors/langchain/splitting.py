"""LangChain's text splitters as chunkers of ragstack, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import BaseDocumentTransformer, Document

from ragstack import Chunk
from ragstack import Document as RagDocument
from ragstack.errors import ConfigError, DocumentError
from ragstack.protocols import Chunker
from ragstack.types import document_id_of
from ragstack_connectors.pieces import placed

__all__ = ["LangchainChunker", "RagstackSplitter"]


class LangchainChunker:
    """A Chunker that cuts as a LangChain splitter does; the name ``langchain`` of ``chunkers``.

    Pieces are found again in the document, in order. What a splitter drops between two pieces
    (separators that are more than white space) is added to the piece before, so that no text is
    lost; pieces that are in no place of the document are an error, never a guess.

    Args:
        splitter: The object, with ``split_text``; so it can be given by a program alone.

    Raises:
        ConfigError: ``splitter`` has no ``split_text``.
    """

    def __init__(self, splitter: Any) -> None:
        if not callable(getattr(splitter, "split_text", None)):
            raise ConfigError(
                f"splitter is {splitter!r}; a text splitter of LangChain was expected",
                hint='Stack.open(…, overrides={"chunk": {"use": "langchain", "splitter": …}})',
            )
        self._splitter = splitter

    def chunk(self, document: RagDocument) -> list[Chunk]:
        """Return the chunks in order of start.

        Raises:
            DocumentError: The splitter failed, or gave text that is not in the document.
        """
        if not document.text.strip():
            return []
        try:
            pieces = [_text_of(piece) for piece in self._splitter.split_text(document.text)]
        # Other people's code, which fails in ways of its own.
        except Exception as error:
            raise DocumentError(
                f"{type(self._splitter).__name__} failed on {document.source!r}: {error}"
            ) from error
        overlap = getattr(self._splitter, "_chunk_overlap", 0)
        return placed(document, pieces, overlap)


class RagstackSplitter(BaseDocumentTransformer):
    """Cuts documents as a chunker of ragstack does (``stack.parts.chunker``).

    Each piece keeps its document's metadata and says where it stands: ``start_index``, as
    LangChain's own splitters do, and ``end_index``.
    """

    def __init__(self, chunker: Chunker) -> None:
        self.chunker = chunker

    def split_text(self, text: str) -> list[str]:
        """Return the text of each chunk."""
        return [chunk.text for chunk in self._chunks(text, "text")]

    def split_documents(self, documents: Sequence[Document]) -> list[Document]:
        """Return the chunks of all documents, in order."""
        found = []
        for document in documents:
            source = str(document.metadata.get("source") or document.id or "document")
            for chunk in self._chunks(document.page_content, source):
                meta = {**document.metadata, **chunk.meta}
                if chunk.context:
                    meta["context"] = chunk.context
                meta |= {"start_index": chunk.start, "end_index": chunk.end}
                found.append(Document(page_content=chunk.text, metadata=meta))
        return found

    def transform_documents(
        self, documents: Sequence[Document], **kwargs: Any
    ) -> Sequence[Document]:
        """Return the chunks of all documents, in order."""
        return self.split_documents(documents)

    def _chunks(self, text: str, source: str) -> list[Chunk]:
        return self.chunker.chunk(RagDocument(document_id_of(source), text, source))


def _text_of(piece: object) -> str:
    # MarkdownHeaderTextSplitter and its kin give documents.
    return piece.page_content if isinstance(piece, Document) else str(piece)
