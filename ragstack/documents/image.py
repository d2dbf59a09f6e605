"""A picture file in, the text that it shows out, each piece with its rectangle; Pillow decodes.

PNG, JPEG, TIFF (each frame is a page), WebP, BMP and GIF. Where no resolution says otherwise, one
pixel is one point.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from ragstack.documents.build import build
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.ocr import INSTALL, Pixels, TextReader, find_reader
from ragstack.documents.pdflayout import PageLines, without_furniture
from ragstack.documents.pdforder import arranged
from ragstack.documents.pdfwrite import write_pages
from ragstack.documents.scan import Scanner
from ragstack.documents.writer import TextWriter
from ragstack.errors import BrokenDocument, DocumentTooLarge, EmptyDocument, UnsupportedDocument
from ragstack.types import Document, Scalar

__all__ = ["ImageLoader"]

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
_TITLE_TAG = 270  # EXIF ImageDescription
_DATE_TAG = 306
_WHITE = (255, 255, 255)


class ImageLoader:
    """Reads the text that a picture shows.

    Args:
        reader: Reads the lines; the installed one when None.
    """

    def __init__(self, *, limits: Limits | None = None, reader: TextReader | None = None) -> None:
        self._limits = limits or Limits()
        self._reader = reader

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        reader = self._reader or find_reader()
        if reader is None:
            raise UnsupportedDocument(
                f"{source!r} is a picture; {INSTALL} reads what it shows", hint=INSTALL
            )
        scanner = Scanner(reader, seconds=self._limits.max_seconds)
        try:
            with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=_FORMATS) as file:
                # Pillow warns of what the limits below refuse, and of odd metadata.
                warnings.simplefilter("ignore")
                meta = _meta(file)
                pages = list(self._pages(file, scanner, source))
        except (BrokenDocument, DocumentTooLarge):
            raise
        except Image.DecompressionBombError as error:
            raise DocumentTooLarge(f"{source!r} is too large a picture: {error}") from error
        # Pillow's decoders raise whatever their own formats bring up.
        except Exception as error:
            raise BrokenDocument(f"{source!r} is no picture that can be read: {error}") from error
        writer = TextWriter()
        write_pages(writer, without_furniture(pages), headings=True)
        text, marks = writer.finish()
        if not text.strip():
            said = scanner.unread
            raise EmptyDocument(
                f"no text was found in the picture {source!r}" + (f" ({said})" if said else "")
            )
        return build(
            text, source=source, meta={**meta, "unread": scanner.unread or None}, marks=marks
        )

    def _pages(self, file: Image.Image, scanner: Scanner, source: str) -> Iterator[PageLines]:
        animated = file.format not in ("TIFF",)
        for number, frame in enumerate(ImageSequence.Iterator(file), start=1):
            if number > 1 and animated:
                # The frames of a moving picture show one page again and again.
                return
            if number > self._limits.max_pages:
                raise DocumentTooLarge(
                    f"{source!r} has more than {self._limits.max_pages:,} pages, which is the limit"
                )
            size = frame.width * frame.height
            if size > self._limits.max_pixels:
                raise DocumentTooLarge(
                    f"{source!r} has {size:,} pixels on page {number}; the limit is "
                    f"{self._limits.max_pixels:,}"
                )
            if not scanner.ready:
                scanner.miss(number)
                continue
            lines = scanner.lines(_pixels(frame), number)
            yield PageLines(number, float(frame.height), tuple(arranged(lines)))


def _pixels(frame: Image.Image) -> Pixels:
    turned = ImageOps.exif_transpose(frame)
    if "A" in turned.getbands() or "transparency" in turned.info:
        layer = turned.convert("RGBA")
        turned = Image.new("RGB", layer.size, _WHITE)
        turned.paste(layer, mask=layer.getchannel("A"))
    pixels: Pixels = np.asarray(turned.convert("RGB"), dtype=np.uint8)[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def _meta(file: Image.Image) -> dict[str, Scalar]:
    tags = file.getexif()
    title, date = tags.get(_TITLE_TAG), tags.get(_DATE_TAG)
    return {
        "type": "image",
        "title": title if isinstance(title, str) else None,
        "date": date.replace(":", "-", 2) if isinstance(date, str) else None,
    }
