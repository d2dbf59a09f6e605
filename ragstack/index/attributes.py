"""Metadata of rows in, the rows that satisfy a Filter out. Knows nothing of words and vectors.

Each field is a column of small numbers that stand for its distinct values. A condition is asked of
every distinct value once, by ``filters.matches`` itself, and spread over the rows by one look-up;
so the answer is the definition's by construction, and costs a walk over an array.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ragstack.filters import All, AnyOf, Compare, Eq, Exists, Filter, In, Not, Readable, matches
from ragstack.types import Meta, Scalar

__all__ = ["Attributes", "Bits", "Rows"]

Bits = NDArray[np.bool_]
Rows = NDArray[np.int64]

_READERS = None  # the name of the column that is no field
_NAN = object()
_REMEMBERED = 64  # conditions whose answers for the values are kept

Held = Scalar | tuple[str, ...]
Leaf = Eq | In | Compare | Exists | Readable


class Attributes:
    """Columns of metadata, by row number."""

    def __init__(self) -> None:
        self._columns: dict[str | None, _Column] = {_READERS: _Column(())}
        self._answers: OrderedDict[str, list[bool]] = OrderedDict()

    def put(
        self,
        rows: Rows,
        meta: Mapping[str, Sequence[Scalar]],
        readers: Sequence[tuple[str, ...]],
    ) -> None:
        """Set the fields and readers of some rows, in place of all that they had."""
        for field in meta.keys() - self._columns.keys():
            self._columns[field] = _Column(None)
        for name, column in self._columns.items():
            if name is None:
                column.put(rows, readers)
            else:
                column.put(rows, meta.get(name, [None] * len(rows)))

    def take(self, rows: Rows) -> tuple[list[Meta], list[tuple[str, ...]]]:
        """Return the metadata and readers of some rows."""
        metas: list[dict[str, Scalar]] = [{} for _ in rows]
        readers: list[tuple[str, ...]] = [() for _ in rows]
        for name, column in self._columns.items():
            for place, value in enumerate(column.take(rows)):
                if isinstance(value, tuple):
                    readers[place] = value
                elif name is not None and value is not None:
                    metas[place][name] = value
        return list(metas), readers

    def mask(self, where: Filter, size: int) -> Bits:
        """Return for each of the first ``size`` rows whether the condition holds."""
        match where:
            case All(parts):
                found = np.ones(size, dtype=np.bool_)
                for part in parts:
                    found &= self.mask(part, size)
                return found
            case AnyOf(parts):
                found = np.zeros(size, dtype=np.bool_)
                for part in parts:
                    found |= self.mask(part, size)
                return found
            case Not(part):
                return ~self.mask(part, size)
            case _:
                return self._leaf(where, size)

    def _leaf(self, leaf: Leaf, size: int) -> Bits:
        name = _READERS if isinstance(leaf, Readable) else leaf.field
        column = self._columns.get(name)
        if column is None:
            return np.full(size, matches(leaf, {}), dtype=np.bool_)
        key = repr(leaf)  # the leaf itself will not do: Eq("a", 1) == Eq("a", True)
        answers = self._answers.setdefault(key, [])
        self._answers.move_to_end(key)
        # Values are only ever added, so an answer once found stays.
        for value in column.values[len(answers) :]:
            answers.append(_holds(leaf, value))
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        if all(answers):  # as when no document has readers: nothing to look up by row
            return np.ones(size, dtype=np.bool_)
        return np.array(answers, dtype=np.bool_)[column.codes(size)]


class _Column:
    """One field: the distinct values it holds, and for each row the number of its value."""

    def __init__(self, missing: Held) -> None:
        self.values: list[Held] = [missing]
        self._code_of: dict[object, int] = {_key(missing): 0}
        self._codes: NDArray[np.int32] = np.zeros(0, dtype=np.int32)

    def put(self, rows: Rows, values: Sequence[Held]) -> None:
        self._grow(int(rows.max(initial=-1)) + 1)
        self._codes[rows] = [self._code(value) for value in values]

    def take(self, rows: Rows) -> list[Held]:
        self._grow(int(rows.max(initial=-1)) + 1)
        return [self.values[code] for code in self._codes[rows]]

    def codes(self, size: int) -> NDArray[np.int32]:
        self._grow(size)
        return self._codes[:size]

    def _code(self, value: Held) -> int:
        code = self._code_of.setdefault(_key(value), len(self.values))
        if code == len(self.values):
            self.values.append(value)
        return code

    def _grow(self, size: int) -> None:
        if size > len(self._codes):
            grown = np.zeros(max(size, 2 * len(self._codes), 1_024), dtype=np.int32)
            grown[: len(self._codes)] = self._codes
            self._codes = grown


def _holds(leaf: Leaf, value: Held) -> bool:
    if isinstance(value, tuple):
        return matches(leaf, {}, value)
    return matches(leaf, {} if isinstance(leaf, Readable) else {leaf.field: value})


def _key(value: Held) -> object:
    # True == 1 in Python but not in a filter; NaN is not even equal to itself.
    if isinstance(value, float) and value != value:
        return _NAN
    return (isinstance(value, bool), value)
