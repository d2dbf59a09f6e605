"""Values in, length-prefixed frames on a pipe out, and back; errors as their class and words.

Pickle is safe here because both ends are our own: the other one is a process that we started.
"""

from __future__ import annotations

import pickle  # noqa: TID251 (nothing is kept, and both ends are ours)
import struct
from typing import IO, Any

from ragstack import errors
from ragstack.errors import GenerationError, RagstackError

__all__ = ["packed", "packed_error", "read", "unpacked_error", "write"]

_LENGTH = struct.Struct("<Q")


def packed(value: object) -> bytes:
    """Return a value as one frame."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def write(pipe: IO[bytes], frame: bytes) -> None:
    """Write one frame."""
    pipe.write(frame)
    pipe.flush()


def read(pipe: IO[bytes]) -> Any:
    """Return the next frame.

    Raises:
        EOFError: The other end is closed, in the middle of a frame too.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return pickle.loads(_exactly(pipe, length))


def packed_error(error: BaseException) -> tuple[str, str, str]:
    """Return an error's class, message and hint."""
    if isinstance(error, RagstackError):
        return type(error).__name__, error.message, error.hint
    return "GenerationError", f"{type(error).__name__}: {error}", ""


def unpacked_error(packed: tuple[str, str, str]) -> RagstackError:
    """Return the error that ``packed_error`` was given."""
    name, message, hint = packed
    kind = getattr(errors, name, GenerationError)
    found: RagstackError = kind(message, hint=hint)
    return found


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
