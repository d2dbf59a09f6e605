"""An image before a projector cuts it: where its pixels come from, and what they may be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import InputError

__all__ = ["MOST_SIDE", "Picture", "Pixels", "check_pixels"]

Pixels = NDArray[np.uint8]
"""(height, width, 3) of red, green and blue."""

MOST_SIDE = 8192
"""Pixels of an image's longer side."""

_LONGEST = 64  # times as long as wide: some projectors round the short side to nothing


@dataclass(frozen=True, slots=True)
class Picture:
    """An image whose pixels are made when they are wanted, and not held in between.

    Attributes:
        digest: Tells it from all others; one with the same digest is not looked at again.
        pixels: Makes them: once when it is cut to tiles, once when those are turned into rows.
        bytes: Memory that it holds until then.
    """

    digest: bytes
    pixels: Callable[[], Pixels]
    bytes: int

    @classmethod
    def of(cls, pixels: Pixels) -> Picture:
        """Return an image whose pixels are in memory."""
        digest = hashlib.sha256(repr((pixels.dtype, pixels.shape)).encode() + pixels.tobytes())
        return cls(digest.digest(), lambda: pixels, pixels.nbytes)


def check_pixels(pixels: Pixels) -> None:
    """Refuse an image that a projector cannot cut, or would not survive.

    Raises:
        InputError: Says what sizes are expected.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"pixels are {pixels.dtype} of shape {pixels.shape}, expected uint8 x 3")
    height, width, _ = pixels.shape
    short, long = sorted((height, width))
    if not (short > 0 and long <= MOST_SIDE and long <= _LONGEST * short):
        raise InputError(
            f"an image has {width} x {height} pixels, expected 1 to {MOST_SIDE} a side, and no "
            f"side more than {_LONGEST} times the other"
        )
