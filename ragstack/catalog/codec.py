"""Values in, bytes out, and back: how text, metadata, readers and marks stand in SQLite.

Everything a user or a file name can hold survives: NULs and lone surrogates too, which SQLite's own
text refuses. That is why every text column is a BLOB of UTF-8 with surrogates let through; its byte
order is the order of the characters.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

from ragstack.errors import InputError
from ragstack.types import Mark, Meta

__all__ = [
    "decode",
    "decode_marks",
    "decode_meta",
    "decode_readers",
    "encode",
    "encode_json",
    "encode_marks",
    "encode_meta",
    "encode_readers",
]

_NOTHING = b"{}"
_NOBODY = b"[]"


def encode(text: str) -> bytes:
    """Return the text as bytes, whatever it holds."""
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    """Return the text that ``encode`` was given."""
    return data.decode("utf-8", "surrogatepass")


def encode_meta(meta: Meta) -> bytes:
    """Return metadata as JSON, keys sorted, so that equal metadata are equal bytes.

    Raises:
        InputError: A key that is not text, or a value that is not a scalar.
    """
    if not meta:
        return _NOTHING
    for key, value in meta.items():
        if not isinstance(key, str):
            raise InputError(f"a metadata key is text, got {key!r}")
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise InputError(
                f"the metadata {key!r} cannot be {value!r}: text, a number, a bool or None"
            )
    return encode_json(dict(meta), sort_keys=True)


def decode_meta(data: bytes) -> Meta:
    """Return the metadata that ``encode_meta`` was given."""
    if data == _NOTHING:
        return {}
    found: dict[str, str | int | float | bool | None] = json.loads(decode(data))
    return found


def encode_readers(readers: Sequence[str]) -> bytes:
    """Return readers as JSON.

    Raises:
        InputError: A lone string, which would be read as one reader for each letter.
    """
    if isinstance(readers, str):
        raise InputError(f"readers is a sequence of names, got the text {readers!r}")
    return encode_json(list(readers)) if readers else _NOBODY


def decode_readers(data: bytes) -> tuple[str, ...]:
    """Return the readers that ``encode_readers`` was given."""
    return () if data == _NOBODY else tuple(json.loads(decode(data)))


def encode_marks(marks: Sequence[Mark]) -> bytes:
    """Return marks as compressed JSON: their field names and kinds repeat, so it pays here."""
    rows = [(m.kind, m.start, m.end, m.label, m.level, m.page, m.box, m.seconds) for m in marks]
    return zlib.compress(encode_json(rows), 6)


def decode_marks(data: bytes) -> tuple[Mark, ...]:
    """Return the marks that ``encode_marks`` was given."""
    rows = json.loads(decode(zlib.decompress(data)))
    return tuple(
        Mark(kind, start, end, label, level, page, tuple(box) if box else None, seconds)
        for kind, start, end, label, level, page, box, seconds in rows
    )


def encode_json(value: object, *, sort_keys: bool = False) -> bytes:
    """Return what JSON can hold as bytes.

    Raises:
        InputError: It cannot.
    """
    # Escapes would join a high and a low surrogate that stood apart into one character.
    try:
        return encode(
            json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot be stored: {error}") from error
