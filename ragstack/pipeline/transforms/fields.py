"""What is known of documents in, the fields of their metadata out, typed by what they hold.

Only documents that the asker may read are looked at: their values reach prompts and answers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from ragstack.filters import Filter, Readable, matches
from ragstack.protocols import Field
from ragstack.types import DocumentInfo, Meta, Scalar

__all__ = ["fields_of", "readable"]

_FEW = 64  # distinct values that a field may have to be listed
_LONGEST = 80  # characters of a value that is listed
_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2}(?:[T ].*)?)?)?", re.DOTALL)


def readable(documents: Iterable[DocumentInfo], asker: Sequence[str]) -> list[DocumentInfo]:
    """Return the documents that the asker may read."""
    may: Filter = Readable(frozenset(asker))
    return [info for info in documents if matches(may, info.meta, info.readers)]


def fields_of(metas: Iterable[Meta]) -> tuple[Field, ...]:
    """Return the fields, by name; one whose values are of several types is left out."""
    held: dict[str, list[Scalar]] = defaultdict(list)
    for meta in metas:
        for name, value in meta.items():
            if value is not None:
                held[name].append(value)
    found = []
    for name, values in sorted(held.items()):
        kinds = {_type(value) for value in values}
        if kinds == {"date", "text"}:
            kinds = {"text"}
        if len(kinds) != 1:
            continue
        (kind,) = kinds
        distinct = set(values)
        few = len(distinct) <= _FEW and all(len(str(value)) <= _LONGEST for value in distinct)
        # Of one kind, so they can be compared.
        listed = tuple(sorted(distinct, key=_order)) if few else ()
        found.append(Field(name, kind, listed, len(values)))
    return tuple(found)


def _type(value: Scalar) -> Literal["text", "number", "boolean", "date"]:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "date" if _DATE.fullmatch(str(value)) else "text"


def _order(value: Scalar) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (0.0, str(value))
