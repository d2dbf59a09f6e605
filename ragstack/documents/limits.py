"""What a document may cost before it is refused. Plain numbers; knows nothing of formats."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ragstack.errors import DocumentTooLarge, InputError

__all__ = ["Limits", "check_bytes"]

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be, in every direction in which hostile bytes can grow.

    Attributes:
        max_bytes: Bytes of the document as it comes.
        max_pages: Pages, slides or sheets.
        max_seconds: Wall clock for one document in a ``LoaderWorker``.
        max_expanded_bytes: Bytes of a zip based format when unpacked.
        max_ratio: Unpacked to packed bytes; looked at only above 50 MB of unpacked ones.
        max_depth: Nesting of JSON, XML and HTML.
        max_pixels: Of a picture, before it is decoded.
        max_memory: Address space of a ``LoaderWorker``'s process in bytes, 0 for no limit.
    """

    max_bytes: int = 200 * _MEGABYTE
    max_pages: int = 20_000
    max_seconds: float = 120.0
    max_expanded_bytes: int = 1_000 * _MEGABYTE
    max_ratio: float = 200.0
    max_depth: int = 500
    max_pixels: int = 60_000_000
    max_memory: int = 6_000 * _MEGABYTE

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "max_memory" else 1e-9
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
                raise InputError(f"{field.name} is {value!r}; a positive number was expected")


def check_bytes(size: int, limits: Limits, source: str) -> None:
    """Refuse a document that is larger than the limit.

    Raises:
        DocumentTooLarge: It is.
    """
    if size > limits.max_bytes:
        raise DocumentTooLarge(
            f"{source!r} has {size:,} bytes; the limit is {limits.max_bytes:,}",
            hint="split it, or raise max_bytes",
        )
