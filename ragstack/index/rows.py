"""Chunks in, row numbers out: which chunk stands in which row of an index, and with what metadata.

Kept as a log that is only ever appended to (a kind and a JSON value a line), so that what a
manifest counts as written stays as it was, whatever happens after. Knows nothing of words and
vectors.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ragstack.errors import IndexStateError
from ragstack.filters import Filter
from ragstack.index.attributes import Attributes, Bits, Rows
from ragstack.types import Chunk, Meta, Scalar

__all__ = ["LogState", "RowTable"]

_PLACED, _DESCRIBED, _DIED = b"+", b"=", b"-"  # the first byte of a line


@dataclass(frozen=True, slots=True)
class LogState:
    """How much of a log counts, as a manifest records it.

    Attributes:
        size: Bytes.
        crc: CRC-32 of those bytes.
        written: Rows that were ever added in it, dead ones too.
    """

    size: int = 0
    crc: int = 0
    written: int = 0


class RowTable:
    """Rows of chunks. A row that died is given again only if ``reuse`` says so."""

    def __init__(self, *, reuse: bool) -> None:
        self.state = LogState()
        self.ids: list[str] = []
        self._reuse = reuse
        self._free: list[int] = []
        self._alive: Bits = np.zeros(1_024, dtype=np.bool_)
        self._count = 0
        self._row_of: dict[str, int] | None = {}
        self._attributes = Attributes()
        self._unread: list[bytes] = []  # lines of metadata that no filter has asked for yet
        self._pending: list[bytes] = []

    def __len__(self) -> int:
        """Return how many chunks have a row."""
        return self._count

    @property
    def size(self) -> int:
        """One more than the highest row ever given."""
        return len(self.ids)

    def add(self, chunks: Sequence[Chunk]) -> Rows:
        """Give each chunk a row of its own; none may have one yet."""
        rows = self._rows_for(len(chunks))
        self._note(_line(_PLACED, rows=rows, ids=[chunk.id for chunk in chunks]))
        metas, readers = [chunk.meta for chunk in chunks], [chunk.readers for chunk in chunks]
        self._note(_described(rows, metas, readers))
        return np.array(rows, dtype=np.int64)

    def kill(self, chunk_ids: Iterable[str]) -> list[int]:
        """Take away the chunks' rows and return them; the unknown are ignored."""
        row_of = self._index()
        rows = [row_of[each] for each in dict.fromkeys(chunk_ids) if each in row_of]
        if rows:
            self._note(_line(_DIED, rows=rows))
        return rows

    def held(self) -> dict[str, int]:
        """Return the row of every chunk; not to be changed."""
        return self._index()

    def alive(self, where: Filter | None) -> Bits:
        """Return for each row whether it holds a chunk that satisfies the condition; a copy."""
        alive = self._alive[: self.size].copy()
        if where is not None:
            alive &= self._read_attributes().mask(where, self.size)
        return alive

    def compacted(self) -> tuple[RowTable, Rows]:
        """Return the table without its dead rows, numbered anew, and the old row of each."""
        old = np.flatnonzero(self._alive[: self.size])
        table = RowTable(reuse=self._reuse)
        table._write_all(self, old, list(range(len(old))))
        return table, old

    def rewritten(self) -> RowTable:
        """Return the same rows under the same numbers, to be written as a shorter log."""
        rows = np.flatnonzero(self._alive[: self.size])
        table = RowTable(reuse=self._reuse)
        table._write_all(self, rows, rows.tolist())
        return table

    def append_to(self, path: Path) -> None:
        """Write what is new to the log, cutting off whatever a killed process left behind."""
        if not self._pending and path.exists():
            return
        data = b"".join(self._pending)
        with open(path, "r+b" if path.exists() else "x+b") as file:
            file.truncate(self.state.size)
            file.seek(self.state.size)
            file.write(data)
            _sync(file)
        self._pending.clear()
        self.state = LogState(
            self.state.size + len(data), zlib.crc32(data, self.state.crc), self.state.written
        )

    def read(self, path: Path, state: LogState) -> None:
        """Take in a log from where this table stands up to a state.

        Raises:
            IndexStateError: The file is not what the state says.
        """
        if state.size < self.state.size:
            raise IndexStateError(f"{str(path)!r} is shorter than it was")
        with open(path, "rb") as file:
            file.seek(self.state.size)
            data = file.read(state.size - self.state.size)
        if zlib.crc32(data, self.state.crc) != state.crc:
            raise IndexStateError(f"{str(path)!r} is damaged: its checksum does not hold")
        try:
            self._row_of = None
            for line in data.splitlines():
                self._apply(line)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise IndexStateError(f"{str(path)!r} is damaged: {error}") from error
        self.state = state

    def _rows_for(self, count: int) -> list[int]:
        free = self._free[len(self._free) - min(count, len(self._free)) :] if self._reuse else []
        return free + list(range(self.size, self.size + count - len(free)))

    def _apply(self, line: bytes) -> None:
        kind, rest = line[:1], line[1:]
        if kind == _DESCRIBED:
            self._unread.append(rest)
        elif kind == _DIED:
            self._bury(_parsed(rest)["rows"])
        elif kind == _PLACED:
            event = _parsed(rest)
            self._place(event["rows"], event["ids"])
        else:
            raise ValueError(f"a line cannot begin with {kind!r}")

    def _place(self, rows: list[int], ids: list[str]) -> None:
        top = max(rows, default=-1) + 1
        reused = {row for row in rows if row < self.size}
        if reused:
            # Views taken before hold the old list; a row that changes hands must not change theirs.
            self.ids = list(self.ids)
            self._free = [row for row in self._free if row not in reused]
        self.ids.extend([""] * (top - self.size))
        for row, chunk_id in zip(rows, ids, strict=True):
            self.ids[row] = chunk_id
        self._grow(top)
        self._alive[rows] = True
        self._count += len(rows)
        if self._row_of is not None:
            self._row_of.update(zip(ids, rows, strict=True))
        self.state = replace(self.state, written=self.state.written + len(rows))

    def _bury(self, rows: list[int]) -> None:
        self._alive[rows] = False
        self._count -= len(rows)
        if self._reuse:
            self._free.extend(rows)
        if self._row_of is not None:
            for row in rows:
                self._row_of.pop(self.ids[row], None)

    def _index(self) -> dict[str, int]:
        if self._row_of is None:
            rows = np.flatnonzero(self._alive[: self.size]).tolist()
            self._row_of = {self.ids[row]: row for row in rows}
        return self._row_of

    def _read_attributes(self) -> Attributes:
        unread, self._unread = self._unread, []
        for line in unread:
            event = _parsed(line)
            rows = np.array(event["rows"], dtype=np.int64)
            columns = {name: _unpacked(packed) for name, packed in event["meta"].items()}
            readers = [tuple(each) for each in _unpacked(event["readers"])]
            self._attributes.put(rows, columns, readers)
        return self._attributes

    def _write_all(self, source: RowTable, rows: Rows, numbers: list[int]) -> None:
        metas, readers = source._read_attributes().take(rows)
        self._note(_line(_PLACED, rows=numbers, ids=[source.ids[row] for row in rows]))
        self._note(_described(numbers, metas, readers))
        self._free = np.flatnonzero(~self._alive[: self.size]).tolist()

    def _note(self, line: bytes) -> None:
        self._apply(line.rstrip(b"\n"))
        self._pending.append(line)

    def _grow(self, size: int) -> None:
        if size > len(self._alive):
            grown = np.zeros(max(size, 2 * len(self._alive)), dtype=np.bool_)
            grown[: len(self._alive)] = self._alive
            self._alive = grown


def _described(rows: list[int], metas: Sequence[Meta], readers: Sequence[tuple[str, ...]]) -> bytes:
    names = sorted({name for meta in metas for name in meta})
    columns = {name: _packed([meta.get(name) for meta in metas]) for name in names}
    return _line(_DESCRIBED, rows=rows, meta=columns, readers=_packed(list(map(tuple, readers))))


def _packed(values: Sequence[Scalar | tuple[str, ...]]) -> Mapping[str, Any]:
    """Return the distinct values and, for each place, which one it is."""
    distinct: dict[str, int] = {}  # by JSON: 1, 1.0 and true are three values there
    codes = [distinct.setdefault(_json(value), len(distinct)) for value in values]
    return {"values": [json.loads(text) for text in distinct], "codes": codes}


def _unpacked(packed: Mapping[str, Any]) -> list[Any]:
    values: list[Any] = packed["values"]
    return [values[code] for code in packed["codes"]]


def _line(kind: bytes, **event: object) -> bytes:
    return kind + _json(event).encode("utf-8", "surrogatepass") + b"\n"


def _parsed(data: bytes) -> Mapping[str, Any]:
    event: Mapping[str, Any] = json.loads(data.decode("utf-8", "surrogatepass"))
    return event


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
