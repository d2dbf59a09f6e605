"""LlamaIndex's readers as connectors of ragstack, its text splitters as chunkers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from llama_index.core.node_parser import TextSplitter
from llama_index.core.schema import Document as LlamaDocument

from ragstack import Chunk, Document, Failure, Source
from ragstack.errors import ConfigError, DocumentError
from ragstack_connectors.choose import Known
from ragstack_connectors.kept import scalars
from ragstack_connectors.loaded import Loaded, digest_of, sources_of
from ragstack_connectors.pieces import placed

__all__ = ["LlamaIndexChunker", "LlamaIndexConnector"]

_CHARACTERS_A_TOKEN = 4


class LlamaIndexChunker:
    """A Chunker that cuts as a LlamaIndex splitter does; the name ``llama_index`` of ``chunkers``.

    Args:
        splitter: Such as ``SentenceSplitter``; an object, so it can be given by a program alone.

    Raises:
        ConfigError: ``splitter`` is no text splitter.
    """

    def __init__(self, splitter: Any) -> None:
        if not isinstance(splitter, TextSplitter):
            raise ConfigError(f"splitter is {splitter!r}; one of LlamaIndex was expected")
        self._splitter = splitter

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start.

        Raises:
            DocumentError: The splitter failed, or gave text that is not in the document.
        """
        if not document.text.strip():
            return []
        try:
            pieces = self._splitter.split_text(document.text)
        # Other people's code, which fails in ways of its own.
        except Exception as error:
            name = type(self._splitter).__name__
            raise DocumentError(f"{name} failed on {document.source!r}: {error}") from error
        overlap = getattr(self._splitter, "chunk_overlap", 0) * _CHARACTERS_A_TOKEN
        return placed(document, pieces, overlap)


class LlamaIndexConnector:
    """A Connector that yields what a LlamaIndex reader reads.

    A document's address is ``file_path``, ``url`` or ``source`` of its metadata, else its text's
    digest; ``#2``, ``#3``, … for the later documents of one address.

    Args:
        documents: Documents, or a reader made ready: an object whose ``load_data`` takes nothing,
            such as ``SimpleDirectoryReader("docs")``.
        prefix: Put before each address.

    Attributes:
        present: After a fetch to the end, all that is there.
        known: What the caller has; anything else is yielded whatever its date.
        failures: What ended the reading before its end, if anything did.
    """

    def __init__(self, documents: Any, *, prefix: str = "") -> None:
        reads = callable(getattr(documents, "load_data", None))
        if not reads and (isinstance(documents, str) or not isinstance(documents, Iterable)):
            raise ConfigError(f"documents is {documents!r}; documents or a reader were expected")
        self._documents = documents
        self._prefix = prefix
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source]:
        """Yield each document; only those dated after ``since`` or not dated, if it is given."""
        self.failures, self.present = [], None
        uris: set[str] = set()
        yield from sources_of(self._loaded(), uris, since=since, known=self.known)
        if not self.failures:
            self.present = frozenset(uris)

    def _loaded(self) -> Iterator[Loaded]:
        for document in self._read():
            meta = document.metadata
            yield Loaded(
                self._prefix + _address(document),
                document.get_content(),
                meta.get("last_modified_date"),
                scalars(meta),
            )

    def _read(self) -> list[LlamaDocument]:
        load = getattr(self._documents, "load_data", None)
        try:
            return list(load() if load else self._documents)
        # Other people's code, which fails in ways of its own.
        except Exception as error:
            name = type(self._documents).__name__
            self.failures.append(Failure(self._prefix + name, f"{type(error).__name__}: {error}"))
            return []


def _address(document: LlamaDocument) -> str:
    meta = document.metadata
    named = meta.get("file_path") or meta.get("url") or meta.get("source")
    # An id that nobody chose is drawn anew each time; the text is what there is to go by.
    return str(named) if named else digest_of(document.get_content())
