"""A picture of a page in, lines as the PDF layout knows them out. Knows no file format.

What stands on the page is scaled to points, so that a scanned page and a typed one are laid out
alike, and a place on it is a place on the paper.
"""

from __future__ import annotations

import time
from statistics import median

from ragstack.documents.clean import characters, collapse
from ragstack.documents.ocr import INSTALL, Pixels, Seen, TextReader
from ragstack.documents.pdflayout import Line
from ragstack.errors import BrokenDocument

__all__ = ["Scanner"]

# The rectangle around a line of text is higher than its font's size.
_SIZE_OF_HEIGHT = 0.8
_SAME_SIZE = 0.3
_SHARE_OF_SECONDS = 0.8


class Scanner:
    """Reads pages that are pictures until the document's time is up, and says what was not read.

    Args:
        reader: None where nothing can read pictures.
        seconds: Time for all of a document; pages beyond it are left unread, not the document.
    """

    def __init__(self, reader: TextReader | None, *, seconds: float) -> None:
        self._reader = reader
        self._seconds = seconds
        self._until = time.monotonic() + _SHARE_OF_SECONDS * seconds
        self._unread: dict[str, list[int]] = {}

    @property
    def ready(self) -> bool:
        """Whether pictures can be read now."""
        return self._reader is not None and time.monotonic() < self._until

    def lines(self, pixels: Pixels, number: int, scale: float = 1.0) -> list[Line]:
        """Return the lines of a page; none where the picture cannot be read, which is kept.

        Args:
            number: Of the page, from 1.
            scale: Pixels of the picture for each point of the page.
        """
        if not self._reader:
            return []
        try:
            seen = self._reader.read(pixels)
        except BrokenDocument as error:
            self.miss(number, error.message)
            return []
        return _lines(seen, scale)

    def miss(self, number: int, why: str = "") -> None:
        """Note a page that could not be read.

        Args:
            why: Said as it is; else it is the reader that is missing, or its time that is up.
        """
        if not why and self._reader is None:
            why = f"it has no text layer; {INSTALL} reads its picture"
        elif not why:
            why = f"reading pictures took more than {_SHARE_OF_SECONDS * self._seconds:g} seconds"
            why += "; raise max_seconds"
        self._unread.setdefault(why, []).append(number)

    @property
    def unread(self) -> str:
        """The pages that were not read and why, for a person; empty when all were."""
        return ". ".join(f"{_pages(numbers)}: {why}" for why, numbers in self._unread.items())


def _lines(seen: list[Seen], scale: float) -> list[Line]:
    lines = []
    usual = median([s.bottom - s.top for s in seen]) if seen else 0.0
    for s in seen:
        text = collapse(characters(s.text))
        if not text:
            continue
        height = s.bottom - s.top
        # Lines of one font differ by their letters' ups and downs; that is no other size.
        height = usual if abs(height - usual) <= _SAME_SIZE * usual else height
        lines.append(
            Line(
                text=text,
                x0=s.x0 / scale,
                top=s.top / scale,
                x1=max(s.x1, s.x0) / scale,
                bottom=s.bottom / scale,
                size=max(_SIZE_OF_HEIGHT * height / scale, 1.0),
                seen=True,
            )
        )
    return lines


def _pages(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return f"page {said}" if len(runs) == 1 and runs[0][0] == runs[0][1] else f"pages {said}"
