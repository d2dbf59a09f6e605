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
        spans = _covering(document.text, _spans(document, pieces, overlap))
        return [
            Chunk(
                document.id,
                document.version,
                start,
                end,
                document.text[start:end],
                meta=dict(document.meta),
                readers=document.readers,
            )
            for start, end in spans
        ]


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


def _spans(document: RagDocument, pieces: Sequence[str], overlap: int) -> list[tuple[int, int]]:
    text, spans = document.text, list[tuple[int, int]]()
    for piece in pieces:
        wanted = piece.strip()
        if not wanted:
            continue
        start = _place(text, wanted, spans[-1] if spans else (-1, 0), overlap)
        if start < 0:
            raise DocumentError(
                f"a piece of {document.source!r} is not in its text: {wanted[:80]!r}",
                hint="take a splitter that keeps the text as it is",
            )
        spans.append((start, start + len(wanted)))
    return spans


def _place(text: str, wanted: str, last: tuple[int, int], overlap: int) -> int:
    """Return where a piece stands, or -1: the first place that the overlap allows.

    Where the overlap is counted in something else than characters, it may begin before that; but
    always behind the beginning of the piece before.
    """
    found = text.find(wanted, max(last[0] + 1, last[1] - overlap))
    return found if found >= 0 else text.find(wanted, last[0] + 1)


def _covering(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans with what lies between them added to the one before, ends trimmed."""
    if not spans:
        start = len(text) - len(text.lstrip())
        return [(start, len(text.rstrip()))]
    found: list[tuple[int, int]] = []
    reach = 0
    for start, end in spans:
        if text[reach:start].strip():
            if found:
                before = found[-1]
                found[-1] = (before[0], len(text[:start].rstrip()))
            else:
                start = len(text) - len(text.lstrip())
        found.append((start, end))
        reach = max(reach, end)
    if text[reach:].strip():
        found[-1] = (found[-1][0], len(text.rstrip()))
    return list(dict.fromkeys(found))
