"""Text, marks and metadata in, Document out: the last step of every loader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ragstack.documents.meta import typed
from ragstack.errors import EmptyDocument
from ragstack.types import Document, Mark, Scalar, document_id_of

__all__ = ["build", "first_heading"]


def build(
    text: str,
    *,
    source: str,
    meta: Mapping[str, Scalar],
    marks: Iterable[Mark] = (),
    hint: str = "",
) -> Document:
    """Return the document, its title taken from its first heading where nothing else names it.

    Raises:
        EmptyDocument: The text is blank.
    """
    if not text.strip():
        raise EmptyDocument(f"there is no text in {source!r}", hint=hint)
    kept = tuple(sorted(marks, key=lambda mark: (mark.start, -mark.end)))
    found = {"title": first_heading(kept), **typed(**meta)}
    return Document(
        id=document_id_of(source),
        text=text,
        source=source,
        meta={key: value for key, value in found.items() if value is not None},
        marks=kept,
    )


def first_heading(marks: Iterable[Mark]) -> str | None:
    """Return the label of the first heading of the outermost level that there is."""
    headings = [mark for mark in marks if mark.kind == "heading" and mark.label]
    return min(headings, key=lambda mark: mark.level).label if headings else None
