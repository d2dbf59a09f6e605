"""Named arrays in, one file that never changes after, and back. Knows nothing of words.

Layout: 8 bytes of magic, the header's length and CRC-32 (each 4 bytes, little-endian), the header
(JSON), then the arrays, each at a multiple of 64 bytes after the header, as they lie in memory.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import IndexStateError

__all__ = ["Array", "Arrays", "read", "write"]

Array = NDArray[Any]
Arrays = Mapping[str, Array]

_MAGIC = b"ragseg\x00\x01"
_HEAD = struct.Struct("<8sII")
_ALIGN = 64
_TYPES = {"|u1", "<u2", "<u4", "<i8"}
_AT_ONCE = 1 << 24  # bytes of a checksum
_CHECKED = 1 << 25  # bytes whose checksums are compared when a file is opened


def write(path: Path, arrays: Arrays) -> int:
    """Write a file to the disk itself, and return its header's checksum: the file's identity."""
    entries: dict[str, tuple[str, int, int, int]] = {}
    at = 0
    for name, array in arrays.items():
        entries[name] = (array.dtype.str, len(array), at, _crc(array))
        at += -(-array.nbytes // _ALIGN) * _ALIGN
    header = json.dumps(entries).encode()
    crc = zlib.crc32(header)
    with open(path, "xb") as file:
        file.write(_HEAD.pack(_MAGIC, len(header), crc) + header)
        begin = _aligned(_HEAD.size + len(header))
        for name, array in arrays.items():
            file.seek(begin + entries[name][2])
            file.write(_bytes(array))
        file.truncate(begin + at)
        file.flush()
        os.fsync(file.fileno())
    return crc


def read(path: Path, crc: int, *, whole: bool = False) -> dict[str, Array]:
    """Return a file's arrays, mapped and not copied.

    Args:
        whole: Compare every checksum; else those of the smallest arrays, up to 32 MB.

    Raises:
        IndexStateError: It is not the file with this header, it is cut off, or it is damaged.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _HEAD.size:
            raise _damaged(path, "it is cut off")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    magic, length, said = _HEAD.unpack_from(data)
    header = data[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or said != crc or zlib.crc32(header) != crc:
        raise _damaged(path, "its header is not the one that was written")
    found = json.loads(header)
    begin = _aligned(_HEAD.size + length)
    arrays, budget = {}, _CHECKED
    for name, (kind, count, at, total) in sorted(found.items(), key=lambda entry: int(entry[1][1])):
        array = _array(data, kind, count, begin + at)
        if array is None:
            raise _damaged(path, "it is cut off")
        budget -= array.nbytes
        if (whole or budget >= 0) and _crc(array) != total:
            raise _damaged(path, f"the checksum of {name!r} does not hold")
        arrays[name] = array
    return arrays


def _array(data: mmap.mmap, kind: str, count: int, at: int) -> Array | None:
    if kind not in _TYPES:
        raise ValueError(f"no array here is of type {kind!r}")
    dtype = np.dtype(kind)
    if not count:
        return np.zeros(0, dtype=dtype)
    if count < 0 or at < 0 or at + count * dtype.itemsize > len(data):
        return None
    return np.frombuffer(data, dtype=dtype, count=count, offset=at)


def _crc(array: Array) -> int:
    data, crc = _bytes(array), 0
    for start in range(0, len(data), _AT_ONCE):
        crc = zlib.crc32(data[start : start + _AT_ONCE], crc)
    return crc


def _bytes(array: Array) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).data


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def _damaged(path: Path, why: str) -> IndexStateError:
    return IndexStateError(f"{str(path)!r} is damaged: {why}")
