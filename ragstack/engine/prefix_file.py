"""What a model has read, as a file: keys and values of a prompt, and what they depend on.

llama.cpp believes whatever stands in such bytes, so a file is read in full, and refused, before it
sees any of them. The hash finds damage, not malice: load files of your own making alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ragstack.engine.gguf import Header
from ragstack.engine.shelf import State
from ragstack.errors import ModelError

__all__ = ["Origin", "Prefix", "origin", "read_prefix", "write_prefix"]

# The mark, SHA-256 of all that follows, the length of the header, the header in JSON, the state.
_MARK = b"ragstack prefix 1\n"
_LENGTH = struct.Struct("<I")
_DIGEST = hashlib.sha256().digest_size
_TAIL = 1 << 16  # bytes of the weights that are hashed with the header


@dataclass(frozen=True, slots=True)
class Origin:
    """What a state depends on beside its tokens.

    Attributes:
        size: Bytes of the model's file.
        model: SHA-256 of its header, and of its last 64 KiB: models of one make differ there.
        adapter: SHA-256 of the adapter's file, or empty.
        library: Version of llama.cpp's package: the layout is its own.
        cache: What keys and values are kept as, and whether all of them are: one that kept a
            window alone cannot be cut back, which nothing in it says.
    """

    size: int
    model: str
    adapter: str
    library: str
    cache: str = ""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prompt and what a model made of it."""

    tokens: tuple[int, ...]
    state: State


def origin(header: Header, *, adapter: str, library: str, cache: str = "") -> Origin:
    """Return what the states of a model depend on.

    Raises:
        ModelError: The model's file cannot be read any more.
    """
    try:
        with header.path.open("rb") as file:
            digest = hashlib.sha256(file.read(min(tensor.start for tensor in header.tensors)))
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            digest.update(file.read())
    except OSError as error:
        raise ModelError(f"the model file {str(header.path)!r} cannot be read: {error}") from error
    return Origin(size, digest.hexdigest(), adapter, library, cache)


def write_prefix(path: Path, prefix: Prefix, made_by: Origin) -> None:
    """Write a file that is there whole or not at all.

    Raises:
        ModelError: It cannot be written.
    """
    header = json.dumps(
        {
            "size": made_by.size,
            "model": made_by.model,
            "adapter": made_by.adapter,
            "library": made_by.library,
            "cache": made_by.cache,
            "tokens": list(prefix.tokens),
        }
    ).encode()
    head = _LENGTH.pack(len(header)) + header
    digest = hashlib.sha256(head)
    digest.update(prefix.state)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.writelines((_MARK, digest.digest(), head, prefix.state))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ModelError(f"the prefix cannot be written to {str(path)!r}: {error}") from error


def read_prefix(path: Path, wanted: Origin) -> Prefix:
    """Return what a file holds, once all of it is known to be right.

    Raises:
        ModelError: It cannot be read, is damaged, or was made by another model, adapter or version.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MARK)) != _MARK:
                raise _refused(path, "it does not begin like one of this version")
            data = memoryview(file.read())
    except OSError as error:
        raise ModelError(f"the saved prefix {str(path)!r} cannot be read: {error}") from error
    if hashlib.sha256(data[_DIGEST:]).digest() != bytes(data[:_DIGEST]):
        raise _refused(path, "its bytes are not those that were written")
    return _parsed(path, data[_DIGEST:], wanted)


def _parsed(path: Path, data: memoryview, wanted: Origin) -> Prefix:
    try:
        (length,) = _LENGTH.unpack_from(data)
        found = json.loads(bytes(data[_LENGTH.size : _LENGTH.size + length]))
        tokens = found.pop("tokens")
        made_by = Origin(**found)
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _refused(path, "its header cannot be read") from error
    if not _are_ids(tokens):
        raise _refused(path, "its tokens are no list of ids")
    for name, label in (
        ("library", "llama-cpp-python"),
        ("model", "model"),
        ("size", "size of the model"),
        ("adapter", "adapter"),
        ("cache", "cache"),
    ):
        ours, theirs = getattr(wanted, name), getattr(made_by, name)
        if ours != theirs:
            raise _refused(path, f"its {label} is {theirs!r}, expected {ours!r}")
    return Prefix(tuple(tokens), bytes(data[_LENGTH.size + length :]))


def _are_ids(tokens: object) -> bool:
    return (
        isinstance(tokens, Sequence)
        and not isinstance(tokens, str)
        and len(tokens) > 0
        and all(type(token) is int for token in tokens)
    )


def _refused(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{str(path)!r} is no saved prefix for this generator: {reason}",
        hint="save it again with `save_prefix`",
    )
