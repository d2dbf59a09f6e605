"""Rows of numbers in a file that only ever grows; what a manifest counts stays as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.index.exact import write_at

__all__ = ["GrowingFile"]


class GrowingFile:
    """One file of rows of one type and width, written by one and mapped by many.

    Args:
        path: The file; made when first opened for writing.
        kind: The type of a number.
        width: Numbers in a row.
    """

    def __init__(self, path: Path, kind: Any, width: int = 1) -> None:
        self.path = path
        self.rows = 0
        self._kind, self._width = np.dtype(kind), width
        self._file: int | None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def take(self, rows: int) -> None:
        """Say how many rows count now.

        Raises:
            FileNotFoundError: There is no file.
            ValueError: It holds fewer.
        """
        if self.path.stat().st_size < rows * self._bytes:
            raise ValueError(f"{self.path.name!r} is too short")
        self.rows = rows

    def open(self) -> None:
        """Make ready to append; what lies beyond the rows that count is cut off."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.ftruncate(self._file, self.rows * self._bytes)

    def append(self, values: NDArray[Any]) -> None:
        """Write more rows; they count at once for this object."""
        self.open()
        found = np.ascontiguousarray(values, dtype=self._kind)
        if self._file is not None and found.size:
            write_at(self._file, found, at=self.rows * self._bytes)
        self.rows += len(found)

    def mapped(self) -> NDArray[Any]:
        """Return the rows that count, shape (rows,) or (rows, width)."""
        shape = (self.rows,) if self._width == 1 else (self.rows, self._width)
        if not self.rows:
            return np.zeros(shape, dtype=self._kind)
        return np.memmap(self.path, dtype=self._kind, mode="r", shape=shape)

    def sync(self) -> None:
        """Make what was appended durable."""
        if self._file is not None:
            os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def _bytes(self) -> int:
        return self._width * int(self._kind.itemsize)
