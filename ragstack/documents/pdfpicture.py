"""A page of a PDF in, a PNG of it out, with the rectangles of some text highlighted.

Native code on whatever bytes there are: to be called where a crash costs nothing but the picture,
which is what ``LoaderWorker.picture`` does.
"""

from __future__ import annotations

import math
import struct
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2

from ragstack.errors import BrokenDocument, NotFound

__all__ = ["pdf_page"]

_SCALE = 2.0
_MOST = 2_400  # pixels of the longer side
_YELLOW = (1.0, 0.93, 0.35)
_LEAST = 12  # characters of a piece that is looked for alone

Box = tuple[float, float, float, float]


def pdf_page(path: Path, number: int, quote: str = "") -> bytes:
    """Return a page as PNG.

    Args:
        number: From 1.
        quote: Its words are highlighted where they stand on the page.

    Raises:
        NotFound: There is no such page.
        BrokenDocument: It is no PDF that can be drawn.
    """
    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise BrokenDocument(f"the original is no PDF that can be drawn: {error}") from error
    try:
        if not 1 <= number <= len(pdf):
            raise NotFound(f"there is no page {number}, the document has {len(pdf)}")
        page = pdf[number - 1]
        width, height = page.get_size()
        if not (math.isfinite(width * height) and width > 0 and height > 0):
            raise BrokenDocument(f"page {number} cannot be drawn: it is {width} by {height} points")
        scale = min(_SCALE, _MOST / max(width, height, 1.0))
        pixels = np.array(page.render(scale=scale).to_numpy()[:, :, :3], dtype=np.float32)
        for box in boxes_of(page, quote):
            _highlight(pixels, box, height, scale)
        return png(pixels[:, :, ::-1].clip(0, 255).astype(np.uint8))
    except (pypdfium2.PdfiumError, MemoryError) as error:
        raise BrokenDocument(f"page {number} cannot be drawn: {error}") from error
    finally:
        pdf.close()


def boxes_of(page: Any, quote: str) -> list[Box]:
    """Return the rectangles of a quote's lines on a page, in points from the bottom left."""
    text = page.get_textpage()
    try:
        count = text.count_chars()
        letters: list[tuple[str, int]] = []
        for at in range(count):
            letters += [(letter, at) for letter in _letters(text.get_text_range(at, 1))]
        written = "".join(letter for letter, _ in letters)
        spans = _places(written, quote)
        chars = sorted({letters[i][1] for start, end in spans for i in range(start, end)})
        return _lines([text.get_charbox(at) for at in chars])
    finally:
        text.close()


def _letters(text: str) -> str:
    """Return what is alike however a text was broken into lines: letters and digits alone."""
    normal = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in normal if letter.isalnum())


def _places(written: str, quote: str) -> list[tuple[int, int]]:
    """Return where a quote stands; piece by piece where it does not stand as a whole."""
    wanted = _letters(quote)
    if not wanted:
        return []
    at = written.find(wanted)
    if at >= 0:
        return [(at, at + len(wanted))]
    found = []
    for line in quote.splitlines():
        piece = _letters(line)
        at = written.find(piece) if len(piece) >= _LEAST else -1
        if at >= 0:
            found.append((at, at + len(piece)))
    return found


def _lines(boxes: list[Box]) -> list[Box]:
    """Return one rectangle for each line of characters."""
    lines: list[Box] = []
    for left, bottom, right, top in boxes:
        if lines:
            l0, b0, r0, t0 = lines[-1]
            middle = (bottom + top) / 2
            if b0 - 2 <= middle <= t0 + 2 and left >= l0 and left - r0 < 40:
                lines[-1] = (l0, min(b0, bottom), max(r0, right), max(t0, top))
                continue
        lines.append((left, bottom, right, top))
    return lines


def _highlight(pixels: Any, box: Box, height: float, scale: float) -> None:
    left, bottom, right, top = box
    rows = slice(
        max(0, int((height - top - 1.5) * scale)), max(0, int((height - bottom + 1.5) * scale))
    )
    columns = slice(max(0, int((left - 1) * scale)), max(0, int((right + 1) * scale)))
    # Multiplied, as a marker does: what is black stays black. The channels are blue, green, red.
    pixels[rows, columns] *= np.array(_YELLOW[::-1], dtype=np.float32)


def png(pixels: Any) -> bytes:
    """Return pixels, rows of red, green and blue in 8 bits, as a PNG file (RFC 2083)."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
