"""Bytes in, a file out whose SHA-256 is the expected one, or no file at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ragstack.errors import HashMismatch
from ragstack.models.table import ModelPart

__all__ = ["Progress", "adopt", "blocks", "hash_of", "store"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, bytes done, bytes in all."""

_BLOCK = 1024 * 1024


def blocks(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, a megabyte at a time."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def hash_of(path: Path) -> str:
    """Return a file's SHA-256 as 64 hex digits."""
    state = hashlib.sha256()
    for block in blocks(path):
        state.update(block)
    return state.hexdigest()


def store(data: Iterable[bytes], part: ModelPart, target: Path, *, origin: str) -> None:
    """Write bytes to a file, checking as they come; the name appears when all of them are right.

    Args:
        origin: Where they come from, for the message.

    Raises:
        HashMismatch: They are not the publisher's; nothing is kept.
    """
    partial = target.with_name(target.name + ".partial")
    state, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            for block in data:
                size += len(block)
                if size > part.bytes:
                    break  # an endless source must not fill the disk
                state.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        _check(part, size, state.hexdigest(), origin)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def adopt(fresh: Path, part: ModelPart, target: Path, *, origin: str) -> None:
    """Give a file its name if its bytes are right.

    Raises:
        HashMismatch: They are not the publisher's; the file is removed.
    """
    try:
        _check(part, fresh.stat().st_size, hash_of(fresh), origin)
    except HashMismatch:
        fresh.unlink()
        raise
    fresh.replace(target)


def _check(part: ModelPart, size: int, digest: str, origin: str) -> None:
    if size == part.bytes and digest == part.sha256:
        return
    whole = size == part.bytes
    found = f"SHA-256 {digest}" if whole else f"{size} bytes{' or more' * (size > part.bytes)}"
    raise HashMismatch(
        f"{part.filename!r} from {origin} is not the publisher's file: "
        f"{found}, expected {part.sha256 if whole else part.bytes}",
        hint="it was removed; fetch it again, or from another source",
    )
