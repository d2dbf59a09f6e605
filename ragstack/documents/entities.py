"""A Word package in, one without XML references out; its texts back with what they stood for.

kreuzberg 4.10 drops every reference in a DOCX: ``R&amp;D`` becomes ``RD``. Knows nothing else of
the format.
"""

from __future__ import annotations

import re
from typing import Any

from ragstack.documents.zips import Package

__all__ = ["restored", "without_references"]

_PART = re.compile(r"word/[\w-]+\.xml")
_REFERENCE = re.compile(rb"&(amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
# Noncharacters, which no text has, stand in for the signs that XML cannot hold everywhere.
_STANDINS = {"&": "\ufdd0", "<": "\ufdd1", ">": "\ufdd2", '"': "\ufdd3"}
_SIGNS = str.maketrans({standin: sign for sign, standin in _STANDINS.items()})
_NAMED = {b"amp": "&", b"lt": "<", b"gt": ">", b"quot": '"', b"apos": "'"}


def without_references(package: Package) -> bytes | None:
    """Return the package with its references replaced; None where there are none."""
    changed: dict[str, bytes] = {}
    for name in package.names:
        if not _PART.fullmatch(name):
            continue
        part = package.read(name)
        if b"&" in part and not part.startswith((b"\xff\xfe", b"\xfe\xff")):
            changed[name] = _REFERENCE.sub(_replaced, part)
    return package.rewritten(changed.items()) if changed else None


def restored(value: Any) -> Any:
    """Return strings, lists and dictionaries with the signs in place of what stood in for them."""
    if isinstance(value, str):
        return value.translate(_SIGNS)
    if isinstance(value, list):
        return [restored(item) for item in value]
    if isinstance(value, dict):
        return {key: restored(item) for key, item in value.items()}
    return value


def _replaced(found: re.Match[bytes]) -> bytes:
    said = found[1]
    if said in _NAMED:
        char = _NAMED[said]
    else:
        code = int(said[2:], 16) if said[1:2] in b"xX" else int(said[1:])
        if code > 0x10FFFF or 0xD800 <= code < 0xE000 or (code < 0x20 and code not in (9, 10, 13)):
            return b""
        char = chr(code)
    return _STANDINS.get(char, char).encode()
