"""Blocks in, one text and its marks out: offsets are counted while writing, never searched for.

Knows nothing of any format; every loader that does not keep the file's own text writes through it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragstack.documents.clean import characters, collapse
from ragstack.types import Mark, Span

__all__ = ["TextWriter"]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in points, origin top left."""

_MAX_LEVEL = 6
_MAX_LABEL = 200


class TextWriter:
    """Builds a document's text, block after block, with the marks of what was written."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._marks: list[Mark] = []
        self._length = 0
        self._gap = 0
        self._page: tuple[int, str, int | None] | None = None

    def __len__(self) -> int:
        return self._length

    @property
    def page(self) -> int | None:
        """The number of the page that is being written."""
        return self._page[0] if self._page else None

    def write(self, text: str, *, gap: int = 2, glue: str = "") -> Span:
        """Return where a piece of text now stands, ``gap`` line ends after what was there.

        Args:
            glue: Written instead of line ends when ``gap`` is 0.
        """
        if not text:
            return self._length, self._length
        if self._length:
            self._append("\n" * max(gap, self._gap) or glue)
        self._gap = 0
        start = self._length
        if self._page is not None and self._page[2] is None:
            self._page = (*self._page[:2], start)
        self._append(text)
        return start, self._length

    def block(self, text: str, *, prefix: str = "", gap: int = 2) -> Span:
        """Return where a cleaned paragraph now stands; its own line ends are kept."""
        lines = [collapse(line) for line in characters(text).split("\n")]
        kept = "\n".join(lines).strip("\n")
        if not kept:
            return self._length, self._length
        indent = "\n" + (prefix if prefix.strip() == ">" else " " * len(prefix))
        return self.write(prefix + kept.replace("\n", indent), gap=gap)

    def heading(self, text: str, level: int) -> Span:
        """Return where a heading, written as ``## text`` and marked, now stands."""
        label = collapse(characters(text))
        if not label:
            return self._length, self._length
        level = min(max(level, 1), _MAX_LEVEL)
        start, end = self.write("#" * level + " " + label)
        self.mark("heading", start, end, label=label, level=level)
        return start, end

    def code(self, text: str) -> None:
        """Write preformatted text between fences, its lines and spaces kept, and mark it."""
        body = characters(text).strip("\n").rstrip()
        if not body.strip():
            return
        fence = "````" if "```" in body else "```"
        start, end = self.write(f"{fence}\n{body}\n{fence}")
        self.mark("code", start, end)

    def table(
        self, rows: Sequence[Sequence[str]], *, caption: str = "", box: Box | None = None
    ) -> Span:
        """Return where rows, written as a pipe table below their caption, now stand.

        The first row is the header; empty rows and columns are left out.

        Args:
            box: Where the table stands on its page.
        """
        cells = [[_cell(cell) for cell in row] for row in rows]
        cells = [row for row in cells if any(row)]
        width = max((len(row) for row in cells), default=0)
        padded = [row + [""] * (width - len(row)) for row in cells]
        used = [i for i in range(width) if any(row[i] for row in padded)]
        if not used:
            return self._length, self._length
        title = collapse(characters(caption))
        named = self.write(title) if title else None
        lines = ["| " + " | ".join(row[i] for i in used) + " |" for row in padded]
        lines.insert(1, "|" + " --- |" * len(used))
        start, end = self.write("\n".join(lines), gap=1 if title else 2)
        header = " | ".join(padded[0][i] for i in used if padded[0][i])
        self.mark("table", start, end, label=title or header, box=box)
        return (named[0] if named else start), end

    def mark(
        self,
        kind: str,
        start: int,
        end: int,
        *,
        label: str = "",
        level: int = 0,
        box: Box | None = None,
    ) -> None:
        """Mark a span of what was written, on the page that is being written."""
        if end > start:
            short = label[:_MAX_LABEL]
            self._marks.append(
                Mark(kind, start, end, label=short, level=level, page=self.page, box=_rounded(box))
            )

    def separate(self, gap: int = 2) -> None:
        """Ask for at least so many line ends before whatever is written next."""
        self._gap = max(self._gap, gap)

    def open_page(self, number: int, label: str = "") -> None:
        """Begin a page, slide or sheet; the one before ends where the text stands."""
        self.close_page()
        self._page = (number, label, None)

    def close_page(self) -> None:
        """End the page that is being written; one without text leaves no mark."""
        if self._page is not None and self._page[2] is not None:
            number, label, start = self._page
            label = label[:_MAX_LABEL]
            self._marks.append(Mark("page", start or 0, self._length, label=label, page=number))
        self._page = None

    def finish(self) -> tuple[str, tuple[Mark, ...]]:
        """Return the text and its marks, sorted by start, the longer first."""
        self.close_page()
        marks = sorted(self._marks, key=lambda mark: (mark.start, -mark.end))
        return "".join(self._parts), tuple(marks)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def _rounded(box: Box | None) -> Box | None:
    if box is None:
        return None
    left, top, right, bottom = (round(edge, 1) for edge in box)
    return left, top, right, bottom


def _cell(text: str) -> str:
    return collapse(characters(text)).replace("|", "\\|")
