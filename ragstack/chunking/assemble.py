"""A document and spans of it in, its chunks out, with their place in it. Knows no tokens.

What every chunker does the same is done here: blanks trimmed, headings, page and kind looked up in
the document's marks, metadata and readers passed on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Literal, get_args

from ragstack.errors import ConfigError
from ragstack.types import Chunk, Document, Mark, Meta, Scalar, Span

__all__ = ["Context", "assemble", "checked_context", "no_meta", "no_note"]

Context = Literal["headings", "title", "both", "none"]
"""What is indexed with a chunk's text: its headings (else the title), the title, both, nothing."""

_BETWEEN = " > "
# A long path would crowd the text out of the embedder's window; the outermost headings give way.
_LONGEST_CONTEXT = 200
_LONGEST_HEADING = 120


def checked_context(context: str) -> Context:
    """Return the choice as it is.

    Raises:
        ConfigError: There is no such choice.
    """
    for known in get_args(Context):
        if context == known:
            return context  # type: ignore[return-value]
    raise ConfigError(f"context is one of {', '.join(get_args(Context))}, got {context!r}")


def no_note(_start: int, _end: int) -> str:
    """Return nothing: what most chunkers add to a chunk's context."""
    return ""


def no_meta(_start: int, _end: int) -> Meta:
    """Return nothing: what most chunkers add to a chunk's metadata."""
    return {}


def assemble(
    document: Document,
    spans: Iterable[Span],
    *,
    context: Context,
    note: Callable[[int, int], str] = no_note,
    meta: Callable[[int, int], Meta] = no_meta,
) -> list[Chunk]:
    """Return the chunks of these spans in order, blank ones and repeated ones left out.

    Args:
        note: Lines that a chunker adds to the context of a trimmed span; with them the columns of
            a table are its own affair.
        meta: Metadata that it adds; the document's own win.
    """
    text, version = document.text, document.version
    places = _Places(document)
    chunks: dict[str, Chunk] = {}
    for start, end in sorted(spans):
        found = text[start:end]
        start += len(found) - len(found.lstrip())
        found = found.strip()
        if not found:
            continue
        end = start + len(found)
        chunk = Chunk(
            document_id=document.id,
            version=version,
            start=start,
            end=end,
            text=found,
            context=places.context(start, context, note(start, end)),
            kind=places.kind(start, end),
            meta={**places.meta(start), **meta(start, end), **document.meta},
            readers=document.readers,
        )
        chunks.setdefault(chunk.id, chunk)
    return list(chunks.values())


class _Places:
    """Where spans of one document stand, from its marks."""

    def __init__(self, document: Document) -> None:
        self._text = document.text
        self._title = _line(document.meta.get("title"))
        self._headings, self._paths = _paths(document.marks)
        self._pages = [m for m in document.marks if m.kind == "page" and m.page is not None]
        self._page_starts = [mark.start for mark in self._pages]
        self._blocks = [m for m in document.marks if m.kind in ("table", "code")]
        self._block_starts = [mark.start for mark in self._blocks]

    def meta(self, start: int) -> dict[str, Scalar]:
        """Return ``heading`` and ``page`` of the span's start, where there are any."""
        found: dict[str, Scalar] = {}
        path = self._path(start)
        if path:
            found["heading"] = _BETWEEN.join(heading.label for heading in path)
        index = bisect_right(self._page_starts, start) - 1
        if index >= 0:
            found["page"] = self._pages[index].page
        return found

    def context(self, start: int, choice: Context, note: str) -> str:
        """Return what is above the span and not in it, as chosen: headings, a table's columns."""
        if choice == "none":
            return note
        lines = [_BETWEEN.join(self._above(start, choice)), note or self._columns(start)]
        return "\n".join(line for line in lines if line)

    def kind(self, start: int, end: int) -> str:
        """Return ``table`` or ``code`` for a span inside one, else ``text``."""
        block = self._block(start)
        return block.kind if block is not None and end <= block.end else "text"

    def _above(self, start: int, choice: Context) -> list[str]:
        path = self._path(start)
        labels = [heading.label for heading in path if heading.start < start]
        held = {heading.label for heading in path if heading.start >= start}
        title = self._title if self._title not in held else ""
        if choice == "title":
            labels = []
        if title and title not in labels and (choice == "both" or not labels):
            labels.insert(0, title)
        while len(labels) > 1 and len(_BETWEEN.join(labels)) > _LONGEST_CONTEXT:
            del labels[0]
        return labels

    def _columns(self, start: int) -> str:
        """Return the label of the table that a span continues, else its first line."""
        block = self._block(start)
        if block is None or block.kind != "table" or start <= block.start:
            return ""
        row, _, _ = self._text[block.start : block.end].lstrip().partition("\n")
        return _line(block.label or row, _LONGEST_CONTEXT)

    def _block(self, start: int) -> Mark | None:
        index = bisect_right(self._block_starts, start) - 1
        found = self._blocks[index] if index >= 0 else None
        return found if found is not None and start < found.end else None

    def _path(self, start: int) -> tuple[Mark, ...]:
        index = bisect_right(self._headings, start) - 1
        return self._paths[index] if index >= 0 else ()


def _paths(marks: Iterable[Mark]) -> tuple[list[int], list[tuple[Mark, ...]]]:
    """Return the start of each heading, and the headings that are open from there on."""
    starts: list[int] = []
    paths: list[tuple[Mark, ...]] = []
    path: tuple[Mark, ...] = ()
    for mark in marks:
        label = _line(mark.label)
        if mark.kind != "heading" or not label:
            continue
        level = max(mark.level, 1)
        path = (
            *(above for above in path if max(above.level, 1) < level),
            Mark("heading", mark.start, mark.end, label, level),
        )
        starts.append(mark.start)
        paths.append(path)
    return starts, paths


def _line(value: Scalar, longest: int = _LONGEST_HEADING) -> str:
    line = " ".join(value.split()) if isinstance(value, str) else ""
    return line if len(line) <= longest else line[: longest - 1] + "…"
