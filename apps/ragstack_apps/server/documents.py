"""Documents of a base as somebody may see them: listed, searched by name, whole, in chunks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ragstack.errors import NotFound
from ragstack.filters import matches
from ragstack.pipeline.retrieve import visible
from ragstack.pipeline.roots import file_of
from ragstack.types import Document, DocumentInfo
from ragstack_apps.server.caller import Caller, known_collection
from ragstack_apps.server.codec import title_of
from ragstack_apps.server.house import House
from ragstack_apps.server.jobs import Ingesting
from ragstack_apps.server.uploads import Upload

__all__ = ["again", "chunks_shown", "document_shown", "found", "info_shown", "listed", "original"]


def listed(house: House, caller: Caller, collection: str, words: str = "") -> list[DocumentInfo]:
    """Return the documents that the caller may see, those whose name has every word."""
    known_collection(house.stack, caller, collection)
    condition = visible(None, caller.asker)
    wanted = words.casefold().split()
    rows = []
    for info in house.stack.documents(collection=collection):
        name = f"{info.source} {title_of(info.meta, info.source)}".casefold()
        if matches(condition, info.meta, info.readers) and all(word in name for word in wanted):
            rows.append(info)
    return rows


def found(house: House, caller: Caller, collection: str, document_id: str) -> Document:
    """Return a document.

    Raises:
        NotFound: There is none that the caller may see.
    """
    known_collection(house.stack, caller, collection)
    document = house.stack.document(document_id, collection=collection)
    condition = visible(None, caller.asker)
    if document is None or not matches(condition, document.meta, document.readers):
        raise NotFound(f"there is no document {document_id!r} in {collection!r}")
    return document


def info_shown(info: DocumentInfo) -> dict[str, Any]:
    """Return a document without its text, as a list shows it."""
    meta = info.meta
    return {
        "id": info.id,
        "source": info.source,
        "title": title_of(meta, info.source),
        **{key: meta.get(key) for key in ("type", "language", "date")},
        "length": info.length,
        "chunks": info.chunks,
        "meta": dict(meta),
        "readers": list(info.readers),
        "digest": info.digest,
        "origin": info.origin,
    }


def document_shown(document: Document) -> dict[str, Any]:
    """Return a document with its text and marks."""
    return {
        "id": document.id,
        "source": document.source,
        "title": title_of(document.meta, document.source),
        "text": document.text,
        "marks": [dataclasses.asdict(mark) for mark in document.marks],
        "meta": dict(document.meta),
        "readers": list(document.readers),
    }


def chunks_shown(house: House, collection: str, document: Document) -> list[dict[str, Any]]:
    """Return the chunks of a document, by start."""
    return [
        {
            "id": chunk.id,
            "start": chunk.start,
            "end": chunk.end,
            "text": chunk.text,
            "context": chunk.context,
            "kind": chunk.kind,
            "meta": dict(chunk.meta),
        }
        for chunk in house.stack.parts.catalog.chunks_of(document.id, collection=collection)
    ]


def original(house: House, collection: str, document: Document) -> Path:
    """Return the file that a document was read from.

    Raises:
        NotFound: It is not kept here: it came from elsewhere, or went since.
    """
    path: Path | None
    if (record := house.jobs.uploads.of(collection, document.id)) is not None:
        path = house.jobs.uploads.path(str(record.body["sha256"]))
        if sorted(record.body.get("readers", ())) != sorted(document.readers):
            path = None  # something else goes by its name now
    else:
        # Any connector may call a document by a path: it is a file where files were taken in.
        path = file_of(
            house.stack.parts.catalog,
            document.source,
            collection=collection,
            readers=document.readers,
            outside=house.stack.folder,
        )
    if path is None or not path.is_file():
        raise NotFound(
            f"the original of {document.source!r} is not kept here",
            hint="files of folders that were taken in are; take the folder in once more",
        )
    return path


def again(house: House, caller: Caller, collection: str, document: Document) -> Ingesting:
    """Return what takes a document in anew, though nothing of it changed.

    Raises:
        NotFound: Its original is not kept here.
    """
    path = original(house, collection, document)
    record = house.jobs.uploads.of(collection, document.id)
    catalog = house.stack.parts.catalog
    chunks = catalog.chunks_of(document.id, collection=collection)
    # An origin of its own makes the ingest read it; until then what is there stays.
    catalog.put(document, chunks, collection=collection, origin="to be read anew")
    if record is None:
        return Ingesting(collection, paths=(str(path),), readers=document.readers)
    body = record.body
    upload = Upload(body["name"], body["sha256"], body["size"], body["type"])
    readers = tuple(body["readers"])
    return Ingesting(collection, (upload,), meta=body["meta"], readers=readers)
