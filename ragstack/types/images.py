"""Bytes or a file in, an image for a message out. What the bytes are is read from the bytes.

Knows the first bytes of four formats; it decodes none and fetches nothing.
"""

from __future__ import annotations

from pathlib import Path

from ragstack.errors import InputError
from ragstack.types.generation import Message, Part

__all__ = ["MOST_IMAGE_BYTES", "image_part", "image_type", "images_of"]

MOST_IMAGE_BYTES = 20_000_000
"""Size of one image; what services take ends at 5 to 20 MB."""

_SHORTEST = 24  # bytes: no image of the four formats is as short
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image_part(image: bytes | str | Path) -> Part:
    """Return an image as a part of a message.

    Args:
        image: Its bytes, or the path of its file. An address on the web is not fetched.

    Raises:
        InputError: It cannot be read, is too large, or is no PNG, JPEG, WebP or GIF.
    """
    if not isinstance(image, bytes):
        path = Path(image).expanduser()
        try:
            with path.open("rb") as file:
                data = file.read(MOST_IMAGE_BYTES + 1)
        except (OSError, ValueError) as error:
            raise InputError(
                f"the image {str(image)!r} cannot be read: {error}",
                hint="give the path of a file on this machine, or the image's bytes",
            ) from error
        return Part(data, image_type(data))
    return Part(image, image_type(image))


def image_type(data: bytes) -> str:
    """Return the media type of an image, as its own bytes say it: what anyone else says is passed.

    Raises:
        InputError: It is too large, or no PNG, JPEG, WebP or GIF.
    """
    if len(data) > MOST_IMAGE_BYTES:
        raise InputError(
            f"an image has {len(data) / 1e6:,.1f} MB or more, expected "
            f"{MOST_IMAGE_BYTES / 1e6:,.0f} at most",
            hint="make it smaller: models look at a thousand pixels a side or so",
        )
    if len(data) >= _SHORTEST:
        for beginning, media_type in _BEGINNINGS:
            if data.startswith(beginning):
                return media_type
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return "image/webp"
    raise InputError(
        f"an image of {len(data)} bytes begins with {data[:12]!r}, expected a PNG, JPEG, WebP "
        "or GIF",
        hint="convert it to PNG or JPEG",
    )


def images_of(message: Message) -> tuple[bytes, ...]:
    """Return the images of a message, in order."""
    if isinstance(message.content, str):
        return ()
    return tuple(part.data for part in message.content if isinstance(part.data, bytes))
