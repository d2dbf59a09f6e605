"""A .safetensors file in, its arrays out, mapped and not copied. Knows nothing about any model.

Format: eight bytes (little-endian length), a JSON header of that length, then the data; the header
gives each tensor's type, shape and place in the data.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import ModelError

__all__ = ["read"]

_LENGTH_BYTES = 8
_MAX_HEADER = 100_000_000
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "<u1"}


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Return every array of the file by name, read-only and backed by the file.

    Raises:
        ModelError: The file cannot be opened, or is not a safetensors file of known types.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= _MAX_HEADER:
                raise _broken(path, f"its header would be {length!r} bytes long")
            text = file.read(length)
            if len(text) < length:
                raise _broken(path, f"its header ends after {len(text)!r} of {length!r} bytes")
            header = json.loads(text.decode("utf-8"))
        data = np.memmap(path, dtype=np.uint8, mode="r")[_LENGTH_BYTES + length :]
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(header, dict):
        raise _broken(path, f"its header is {type(header).__name__}")
    return {
        name: _array(data, entry, name=name, path=path)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _array(data: NDArray[np.uint8], entry: Any, *, name: str, path: Path) -> NDArray[Any]:
    try:
        kind = np.dtype(_TYPES[entry["dtype"]])
        shape = tuple(int(side) for side in entry["shape"])
        start, end = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"its entry {name!r} is {entry!r}") from error
    fits = 0 <= start <= end <= len(data) and min(shape, default=1) >= 0
    if not fits or end - start != math.prod(shape) * kind.itemsize:
        raise _broken(path, f"its entry {name!r} does not lie inside the data: {entry!r}")
    return data[start:end].view(kind).reshape(shape)


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{str(path)!r} is not a safetensors file: {why}",
        hint="fetch the model again with `ragstack models pull`",
    )
