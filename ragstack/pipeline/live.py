"""A catalog in, the same catalog out that also knows what live sources said when they were asked.

What they said is kept as records, so that an answer's citations can be looked up long after; it is
in no list of documents, in no count, and in no index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from ragstack.config import Plugin
from ragstack.index.live import chunk_of
from ragstack.protocols import Catalog
from ragstack.types import Chunk, Document, Record

__all__ = ["LiveCatalog", "is_live", "with_live"]

_KIND = "live"
_KEPT = timedelta(days=30)
_RENEWED = timedelta(days=1)


def is_live(indexes: Mapping[str, Plugin]) -> bool:
    """Return whether one of the indexes asks a service."""
    return any(plugin.use == "live" for plugin in indexes.values())


def with_live(catalog: Catalog, indexes: Mapping[str, Plugin]) -> Any:
    """Return the catalog, with a shelf for what live sources say where there are any."""
    return LiveCatalog(catalog) if is_live(indexes) else catalog


class LiveCatalog:
    """A Catalog whose documents and chunks by id are those of another and what is on the shelf.

    Everything else is the other's.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._kept_at: dict[str, tuple[tuple[str, tuple[str, ...]], datetime]] = {}
        self._swept = datetime.min.replace(tzinfo=UTC)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    def keep(self, document: Document) -> None:
        """Keep what a live source said for thirty days after it last said so."""
        now = datetime.now(UTC)
        said = (document.version, document.readers)  # who may see it counts as much as the text
        before, at = self._kept_at.get(document.id, (None, now))
        if before == said and now - at < _RENEWED:
            return
        if now - self._swept > _RENEWED:
            old = self._catalog.records(_KIND, before=now - _KEPT)
            self._catalog.remove_records(_KIND, [record.id for record in old])
            self._kept_at.clear()
            self._swept = now
        body = {**asdict(document), "marks": []}
        self._catalog.put_record(Record(_KIND, document.id, body, now))
        self._kept_at[document.id] = (said, now)

    def document(self, document_id: str, *, collection: str) -> Document | None:
        """Return a document of the base, or what a live source said."""
        found = self._catalog.document(document_id, collection=collection)
        return found or self._kept(document_id)

    def chunks(self, chunk_ids: Sequence[str], *, collection: str) -> dict[str, Chunk]:
        """Return the chunks that are there, by id."""
        found = self._catalog.chunks(chunk_ids, collection=collection)
        for one in chunk_ids:
            document = None if one in found else self._kept(one.partition(".")[0])
            if document is not None and chunk_of(document).id == one:
                found[one] = chunk_of(document)
        return found

    def chunks_of(self, document_id: str, *, collection: str) -> list[Chunk]:
        """Return a document's chunks, by start."""
        found = self._catalog.chunks_of(document_id, collection=collection)
        document = None if found else self._kept(document_id)
        return [chunk_of(document)] if document else found

    def sources(self, document_ids: Sequence[str], *, collection: str) -> dict[str, str]:
        """Return the address of each document that is there, by id."""
        found = self._catalog.sources(document_ids, collection=collection)
        for one in document_ids:
            document = None if one in found else self._kept(one)
            if document is not None:
                found[one] = document.source
        return found

    def close(self) -> None:
        """Close the catalog. A second call does nothing."""
        self._catalog.close()

    def _kept(self, document_id: str) -> Document | None:
        record = self._catalog.record(_KIND, document_id)
        if record is None:
            return None
        body = record.body
        return Document(
            body["id"], body["text"], body["source"], body["meta"], readers=tuple(body["readers"])
        )
