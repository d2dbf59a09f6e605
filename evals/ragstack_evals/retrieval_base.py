"""A test collection in, a base that holds it out, by the road that any document takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ragstack.pipeline.ingest import Step
from ragstack.pipeline.stack import Stack
from ragstack.types import Source, document_id_of
from ragstack_evals.datasets import Collection, JudgedDocument

__all__ = ["FORMS", "Base", "Form", "build_base", "judged_text"]

Form = Literal["document", "chunks", "file"]
FORMS: Mapping[Form, str] = {
    "document": "title as metadata, one chunk a document",
    "chunks": "title as metadata, cut by the configured chunker",
    "file": "a text file whose first line is the title, cut by the configured chunker",
}

_WHOLE: Mapping[str, Any] = {"chunk": {"use": "fixed", "size": 10_000_000, "overlap": 0}}


@dataclass(frozen=True, slots=True)
class Base:
    """A filled base.

    Attributes:
        judged: The collection's document id by ragstack's.
        seconds: What the ingest took, embedding and commits included.
        added: How many documents this ingest had to do; the others were there.
        failed: Reasons of those that could not be ingested.
    """

    stack: Stack
    judged: Mapping[str, str]
    seconds: float
    added: int
    failed: tuple[str, ...]


class _Documents:
    """A connector over a test collection."""

    def __init__(self, collection: Collection, form: Form) -> None:
        self._collection = collection
        self._form = form

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source]:
        for document in self._collection.documents:
            titled = self._form != "file" and bool(document.title) and bool(document.text)
            text = document.text or document.title if titled else judged_text(document)
            yield Source(
                uri=_address(self._collection, document.id),
                data=text.encode("utf-8"),
                media_type="text/plain",
                meta={"title": document.title} if titled else {},
            )


def judged_text(document: JudgedDocument) -> str:
    """Return title and text as one."""
    return "\n\n".join(part for part in (document.title, document.text) if part.strip())


def build_base(
    collection: Collection,
    folder: Path,
    *,
    form: Form,
    progress: Callable[[Step], None] | None = None,
) -> Base:
    """Return an open base that holds the collection; what the folder has is not redone."""
    stack = Stack.open(folder, overrides=_WHOLE if form == "document" else {})
    begun = time.perf_counter()
    report = stack.ingest(_Documents(collection, form), progress=progress)
    seconds = time.perf_counter() - begun
    return Base(
        stack=stack,
        judged={
            document_id_of(_address(collection, document.id)): document.id
            for document in collection.documents
        },
        seconds=seconds,
        added=len(report.added) + len(report.updated),
        failed=tuple(f"{failure.source}: {failure.reason}" for failure in report.failed),
    )


def _address(collection: Collection, document_id: str) -> str:
    return f"{collection.name}/{document_id}.txt"
