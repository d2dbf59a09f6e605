"""LangChain's document loaders as connectors of ragstack, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from ragstack import Document as RagDocument
from ragstack import Failure, Source
from ragstack.errors import ConfigError, DocumentError
from ragstack.protocols import Connector
from ragstack_connectors.choose import Known
from ragstack_connectors.kept import scalars
from ragstack_connectors.loaded import Loaded, digest_of, sources_of

__all__ = ["LangchainConnector", "RagstackLoader", "address_of"]


class LangchainConnector:
    """A Connector that yields what a LangChain loader loads.

    A document's address is its metadata's ``source``, with ``#2``, ``#3``, … for the second and
    later documents of one source (pages); one without a source is named by its text's digest.
    Without ``modified`` in the metadata nothing says what changed, and everything is read.

    Args:
        loader: The object, with ``lazy_load``.
        prefix: Put before each address: two loaders of one collection must not share one.

    Attributes:
        present: After a fetch to the end, all that is there.
        known: What the caller has; anything else is yielded whatever its date.
        failures: What ended the loading before its end, if anything did.
    """

    def __init__(self, loader: Any, *, prefix: str = "") -> None:
        if not callable(getattr(loader, "lazy_load", None)):
            raise ConfigError(f"loader is {loader!r}; a document loader of LangChain was expected")
        self._loader = loader
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
        documents = iter(self._loader.lazy_load())
        while (document := self._next(documents)) is not None:
            meta = document.metadata
            yield Loaded(
                self._prefix + address_of(document),
                document.page_content,
                meta.get("modified"),
                scalars(meta, lambda name: name != "modified"),
            )

    def _next(self, documents: Iterator[Any]) -> Document | None:
        try:
            return next(documents, None)
        # Other people's code, which fails in ways of its own; a generator that raised is over.
        except Exception as error:
            name = type(self._loader).__name__
            self.failures.append(Failure(self._prefix + name, f"{type(error).__name__}: {error}"))
            return None


class RagstackLoader(BaseLoader):
    """Loads what a connector of ragstack yields, read as a base reads it.

    Args:
        connector: Where the documents are.
        read: Bytes to a document; ``stack.parts.load`` is that of a base.

    Attributes:
        failures: What could not be read, and why; starts anew with each loading.
    """

    def __init__(self, connector: Connector, read: Callable[[Source], RagDocument]) -> None:
        self._connector = connector
        self._read = read
        self.failures: list[Failure] = []

    def lazy_load(self) -> Iterator[Document]:
        """Yield a document for each source that can be read."""
        self.failures = []
        for source in self._connector.fetch():
            if not isinstance(source, Source):
                continue
            try:
                document = self._read(source)
            except DocumentError as error:
                self.failures.append(Failure(source.uri, error.message))
                continue
            meta = {**document.meta, "source": document.source}
            yield Document(id=document.id, page_content=document.text, metadata=meta)
        self.failures += getattr(self._connector, "failures", [])


def address_of(document: Document) -> str:
    """Return what names a document: its source, its id, else its text's digest."""
    named = document.metadata.get("source") or document.id
    return str(named) if named else digest_of(document.page_content)
