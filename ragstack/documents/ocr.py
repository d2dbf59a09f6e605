"""A picture in, its lines of text with their places out: rapidocr, whose wheel holds its models.

Knows nothing of files and documents. The package is optional: without it there is no reader.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import BrokenDocument

__all__ = ["INSTALL", "Pixels", "Seen", "TextReader", "find_reader"]

Pixels = NDArray[np.uint8]
"""A picture: height × width × 3 (blue, green, red), 0 to 255."""

INSTALL = 'pip install "ragstack[ocr]"'
_PACKAGE = "rapidocr"
_LOCK = threading.Lock()
_MIN_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """A line of text in a picture and the rectangle around it in pixels, origin top left.

    Attributes:
        score: How sure the reader is, 0 to 1.
    """

    text: str
    x0: float
    top: float
    x1: float
    bottom: float
    score: float = 1.0


class TextReader(Protocol):
    """Reads what a picture shows."""

    def read(self, pixels: Pixels) -> list[Seen]:
        """Return the lines in the picture, in any order.

        Raises:
            BrokenDocument: The picture cannot be worked on.
        """
        ...


def find_reader() -> TextReader | None:
    """Return the reader, or None where its package is not installed."""
    return _RapidReader() if importlib.util.find_spec(_PACKAGE) is not None else None


class _RapidReader:
    def read(self, pixels: Pixels) -> list[Seen]:
        try:
            with _LOCK:
                found = _engine()(pixels)
        # One edge to other people's code, which fails in ways of its own.
        except Exception as error:
            raise BrokenDocument(f"the text of a picture could not be read: {error!r}") from error
        if found.boxes is None or found.txts is None:
            return []
        seen = []
        for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True):
            corners = np.asarray(box, dtype=float)
            (x0, top), (x1, bottom) = corners.min(axis=0), corners.max(axis=0)
            if score >= _MIN_SCORE and text.strip():
                place = (float(x0), float(top), float(x1), float(bottom))
                seen.append(Seen(str(text), *place, score=float(score)))
        return seen


@cache
def _engine() -> Any:
    # Imported late: it brings OpenCV, and most documents need neither.
    library = importlib.import_module(_PACKAGE)
    return library.RapidOCR(params={"Global.log_level": "error"})
