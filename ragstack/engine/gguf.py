"""The header of a GGUF file: bytes in, metadata and tensor extents out. Knows nothing of llama.cpp.

llama.cpp trusts much of what it reads; what it would trip over is refused here, with a reason.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3,
little-endian).
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ragstack.errors import ModelError

__all__ = ["Header", "Tensor", "read_header"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MAX_NAME = 63
_MAX_DIMENSIONS = 4
_STRING, _ARRAY, _BOOL = 8, 9, 7
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# An array of more items than this (a vocabulary, its merges) is walked over and kept as its length.
# Some keys have an item for each layer; the deepest models have some 130.
_KEPT_ITEMS = 256

_LENGTH = struct.Struct("<Q")

# ggml_type: values in a block, bytes of a block (ggml.c, type_traits).
_BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110),
    22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
    29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36),
}  # fmt: skip

Value = str | int | float | bool | tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor's bytes lie.

    Attributes:
        shape: Fastest dimension first.
        kind: The ggml_type.
        start: Offset in the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int
    bytes: int

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        metadata: Scalars, and short arrays as tuples.
        lengths: How many items each array has, the long ones too.
    """

    path: Path
    metadata: Mapping[str, Value]
    lengths: Mapping[str, int]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """The kind of network, as in ``llama`` or ``qwen2``."""
        return str(self.metadata.get("general.architecture", ""))

    def number(self, key: str) -> int:
        """Return a count of this architecture (``context_length``), 0 where it is not said."""
        value = self.metadata.get(f"{self.architecture}.{key}", 0)
        return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0

    def per_layer(self, key: str, layers: int) -> tuple[int, ...] | None:
        """Return a count for each layer, of an array or one for all; None where it is not said.

        An array that is too short goes on with its last item, as no key is worth a refusal here.
        """
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, tuple):
            items = tuple(max(int(v), 0) for v in value if isinstance(v, int))
            return (items + items[-1:] * layers)[:layers] if items else None
        if isinstance(value, int):
            return (max(int(value), 0),) * layers
        return None

    @property
    def context_length(self) -> int:
        """The window the model was trained for, in tokens."""
        return self.number("context_length")

    @property
    def chat_template(self) -> str:
        """The publisher's chat template in Jinja, or an empty string."""
        return str(self.metadata.get("tokenizer.chat_template", ""))


def read_header(path: Path) -> Header:
    """Return the header of a GGUF file, every length in it checked against the file.

    Raises:
        ModelError: It is no GGUF file, or a broken one; the message says where.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(path, data).header()
    except (OSError, ValueError) as error:  # mmap refuses an empty file with ValueError
        raise ModelError(f"the model file {str(path)!r} cannot be read: {error}") from error
    except (struct.error, OverflowError) as error:  # a length that points outside
        raise _broken(path, "it ends in the middle of its header") from error


def _broken(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{str(path)!r} is not a whole GGUF model: {reason}",
        hint="fetch the file again; `ragstack models rm NAME` then `ragstack models pull NAME`",
    )


class _Reader:
    """Walks a header once, from front to back."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def header(self) -> Header:
        if self._take(4) != _MAGIC:
            raise _broken(self.path, f"it begins with {self.data[:4]!r}, not {_MAGIC!r}")
        version = self._number("I")
        if version not in _VERSIONS:
            raise _broken(self.path, f"its format version is {version}, known are {_VERSIONS}")
        tensor_count, pair_count = self._number("Q"), self._number("Q")
        metadata: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in range(self._fits(pair_count, 13)):
            key = self._string()
            if not key or key in metadata or key in lengths:
                raise _broken(self.path, f"the metadata key {key!r} is empty or there twice")
            self._pair(key, metadata, lengths)
        tensors = self._tensors(self._fits(tensor_count, 24), metadata)
        header = Header(self.path, metadata, lengths, tensors)
        self._check(header)
        return header

    def _take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise _broken(
                self.path, f"it ends at byte {len(self.data)} in the middle of its header"
            )
        self.at += size
        return self.data[self.at - size : self.at]

    def _number(self, code: str) -> int:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return int(value)

    def _fits(self, count: int, least: int) -> int:
        """Return a count of things of at least so many bytes, if the file can hold them."""
        if count * least > len(self.data) - self.at:
            raise _broken(self.path, f"it says it holds {count} entries, more than there are bytes")
        return count

    def _string(self) -> str:
        return self._take(self._number("Q")).decode("utf-8", "replace")

    def _pair(self, key: str, metadata: dict[str, Value], lengths: dict[str, int]) -> None:
        kind = self._number("I")
        if kind == _ARRAY:
            kind, count = self._number("I"), self._number("Q")
            lengths[key] = count
            kept = self._array(key, kind, count)
            if kept is not None:
                metadata[key] = kept
        else:
            metadata[key] = self._scalar(key, kind)

    def _scalar(self, key: str, kind: int) -> str | int | float | bool:
        if kind == _STRING:
            return self._string()
        if kind not in _FIXED:
            raise _broken(self.path, f"the metadata key {key!r} has an unknown type {kind}")
        if kind == _BOOL:
            return self._take(1) != b"\0"
        (value,) = struct.unpack(
            "<" + _FIXED[kind], self._take(struct.calcsize("<" + _FIXED[kind]))
        )
        return value if isinstance(value, float) else int(value)

    def _array(
        self, key: str, kind: int, count: int
    ) -> tuple[str | int | float | bool, ...] | None:
        if kind == _STRING:
            self._fits(count, 8)
            if count <= _KEPT_ITEMS:
                return tuple(self._string() for _ in range(count))
            self._skip_strings(count)
            return None
        if kind not in _FIXED:
            raise _broken(self.path, f"the array {key!r} has an unknown type {kind}")
        if count <= _KEPT_ITEMS:
            return tuple(self._scalar(key, kind) for _ in range(count))
        self._skip(count * struct.calcsize("<" + _FIXED[kind]))
        return None

    def _skip(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise _broken(
                self.path, f"it ends at byte {len(self.data)} in the middle of its header"
            )
        self.at += size

    def _skip_strings(self, count: int) -> None:
        """Walk over an array of strings; a vocabulary has 150,000 of them, so the loop is bare."""
        data, at, length = self.data, self.at, _LENGTH.unpack_from
        for _ in range(count):
            at += _LENGTH.size + length(data, at)[0]
        self.at = at
        self._skip(0)

    def _tensors(self, count: int, metadata: Mapping[str, Value]) -> tuple[Tensor, ...]:
        entries = [self._entry() for _ in range(count)]
        if len({name for name, *_ in entries}) != count:
            raise _broken(self.path, "two tensors have one name")
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise _broken(self.path, f"its alignment is {alignment!r}, not a power of two")
        base = -(-self.at // alignment) * alignment
        return tuple(self._placed(entry, base, alignment) for entry in entries)

    def _entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        if not 0 < len(name.encode()) <= _MAX_NAME:
            raise _broken(self.path, f"a tensor's name has {len(name)} characters")
        dimensions = self._number("I")
        if dimensions > _MAX_DIMENSIONS:
            raise _broken(self.path, f"the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))
        return name, shape, self._number("I"), self._number("Q")

    def _placed(
        self, entry: tuple[str, tuple[int, ...], int, int], base: int, alignment: int
    ) -> Tensor:
        name, shape, kind, offset = entry
        if kind not in _BLOCKS:
            raise _broken(self.path, f"the tensor {name!r} has an unknown type {kind}")
        block, size = _BLOCKS[kind]
        count = 1
        for extent in shape:
            count *= extent
        if not shape or count == 0 or shape[0] % block:
            raise _broken(self.path, f"the tensor {name!r} has the shape {shape}")
        length = count // block * size
        if offset % alignment or base + offset + length > len(self.data):
            end = base + offset + length
            raise _broken(
                self.path, f"the tensor {name!r} ends at byte {end}, the file at {len(self.data)}"
            )
        return Tensor(name, shape, kind, base + offset, length)

    def _check(self, header: Header) -> None:
        """Refuse a header that llama.cpp would divide by zero on, or that names no network."""
        if not header.architecture:
            raise _broken(self.path, "it does not say its architecture")
        if not header.tensors:
            raise _broken(self.path, "it holds no tensors")
