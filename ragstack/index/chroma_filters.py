"""Metadata and conditions in, Chroma's metadata and ``where`` out. Knows nothing of its client.

Chroma compares numbers and equal values; ours has text in order, whole numbers of any size, fields
of any name and the readers of a chunk. So what is pushed into Chroma lets through at least what
passes, never less; who asks looks at each hit again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ragstack.filters import All, AnyOf, Compare, Eq, Exists, Filter, In, Not, Readable
from ragstack.types import Meta, Scalar

__all__ = ["described", "pushed"]

Where = dict[str, Any] | bool

_WHOLE = 2**53  # above it not every whole number is a float
_TYPES = ("s", "n", "b", "x")  # text, number, bool, and a number that Chroma cannot hold exactly
_TURNED = {"lt": "$gte", "lte": "$gt", "gt": "$lte", "gte": "$lt"}


def described(meta: Meta, readers: Sequence[str]) -> dict[str, str | float | bool]:
    """Return what Chroma keeps of a chunk: typed fields, a mark of each one's type, its readers."""
    found: dict[str, str | float | bool] = {"p": not readers}
    for reader in readers:
        found[f"r:{_plain(reader)}"] = True
    for name, value in meta.items():
        if value is None:
            continue
        field, kind = _plain(name), _type(value)
        found[f"t:{field}"] = kind
        if kind == "s":
            found[f"s:{field}"] = _plain(str(value))
        elif kind == "b":
            found[f"b:{field}"] = bool(value)
        elif kind == "n":
            found[f"n:{field}"] = float(value)
    return found


def pushed(where: Filter | None) -> Where:
    """Return a ``where`` that holds wherever the condition does; True: all, False: nothing."""
    return True if where is None else _where(where, holds=True)


def _where(where: Filter, *, holds: bool) -> Where:
    match where:
        case All(parts):
            return _joined([_where(part, holds=holds) for part in parts], every=holds)
        case AnyOf(parts):
            return _joined([_where(part, holds=holds) for part in parts], every=not holds)
        case Not(part):
            return _where(part, holds=not holds)
        case In(name, values):
            return _joined([_equal(name, each, holds=holds) for each in values], every=not holds)
        case Eq(name, value):
            return _equal(name, value, holds=holds)
        case Exists(name):
            return _there(name, holds=holds)
        case Compare():
            return _compared(where, holds=holds)
        case Readable(by):
            keys = ["p", *(f"r:{_plain(reader)}" for reader in sorted(by))]
            return _joined([_is(key, True, holds=holds) for key in keys], every=not holds)


def _equal(name: str, value: Scalar, *, holds: bool) -> Where:
    if value is None:
        return _there(name, holds=not holds)
    field, kind = _plain(name), _type(value)
    if kind == "x":
        return _is(f"t:{field}", "x", holds=True) if holds else True
    if kind == "n":
        return _is(f"n:{field}", float(value), holds=holds)
    return _is(f"{kind}:{field}", value if kind == "b" else _plain(str(value)), holds=holds)


def _compared(where: Compare, *, holds: bool) -> Where:
    field, kind = _plain(where.field), _type(where.value)
    if kind != "n":
        # Text in its order, and numbers beyond floats: by the type alone.
        of = ["s"] if kind == "s" else ["n", "x"]
        return {f"t:{field}": {"$in": of}} if holds else True
    word = f"${where.op}" if holds else _TURNED[where.op]
    plain: Where = {f"n:{field}": {word: float(where.value)}}
    other = _is(f"t:{field}", "x", holds=True) if holds else _is(f"t:{field}", "n", holds=False)
    return _joined([plain, other], every=False)


def _there(name: str, *, holds: bool) -> Where:
    return {f"t:{_plain(name)}": {"$in" if holds else "$nin": list(_TYPES)}}


def _is(key: str, value: Scalar, *, holds: bool) -> Where:
    # What lacks the field is "not equal" in Chroma as well.
    return {key: {"$eq" if holds else "$ne": value}}


def _joined(parts: Sequence[Where], *, every: bool) -> Where:
    if any(part is (not every) for part in parts):
        return not every
    kept = [part for part in parts if not isinstance(part, bool)]
    if len(kept) < 2:
        return kept[0] if kept else every
    return {"$and" if every else "$or": kept}


def _type(value: Scalar) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, str):
        return "s"
    return "n" if math.isfinite(value or 0) and abs(value or 0) <= _WHOLE else "x"


def _plain(text: str) -> str:
    """Return letters of ASCII that stand for this text and no other: any text can be a name."""
    return text.encode("unicode_escape").decode("ascii")
