"""Conditions on metadata: a small algebra, a parser for its dict form, and a slow oracle.

Every index answers ``where`` inside its own search. This page says what a condition means;
``matches`` is the definition that the fast implementations are tested against.

Meaning: a condition on a field that a chunk lacks (or holds as None) is false, so ``Not`` of it is
true. Numbers compare with numbers and text with text (dates are ISO text, so they order by time);
a bool is equal to a bool alone. Comparing across kinds is false, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard, cast

from ragstack.errors import InputError
from ragstack.types import Meta, Scalar

__all__ = [
    "All",
    "AnyOf",
    "Compare",
    "Eq",
    "Exists",
    "Filter",
    "In",
    "Not",
    "Readable",
    "Where",
    "both",
    "fields",
    "matches",
    "parse",
    "written",
]

Op = Literal["lt", "lte", "gt", "gte"]
_OPS: tuple[Op, ...] = ("lt", "lte", "gt", "gte")


@dataclass(frozen=True, slots=True)
class Eq:
    """The field holds this value. ``Eq(field, None)`` is ``Not(Exists(field))``."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """The field holds one of these values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """The field stands in this order to the value."""

    field: str
    op: Op
    value: str | int | float


@dataclass(frozen=True, slots=True)
class Exists:
    """The field holds a value that is not None."""

    field: str


@dataclass(frozen=True, slots=True)
class Readable:
    """The chunk names no readers, or one of these."""

    by: frozenset[str]


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; empty is true."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Some part holds; empty is false."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Filter


Filter = Eq | In | Compare | Exists | Readable | All | AnyOf | Not
_BYTES = (bytes, bytearray, memoryview)  # sequences of numbers that nobody means as such
_KINDS = (Eq, In, Compare, Exists, Readable, All, AnyOf, Not)

Where = Filter | Mapping[str, object]
"""What a caller may write: a Filter, or its dict form (see ``parse``)."""


def parse(where: Where | None) -> Filter | None:
    """Return the Filter that a dict form stands for; a Filter and None pass through.

    Keys of one dict hold together. A value is a scalar (equal), a list (one of) or a dict of
    ``lt lte gt gte ne in nin exists``. ``$and``, ``$or`` take lists of dicts, ``$not`` takes a
    dict.

    Raises:
        InputError: A form that means nothing; the message shows the ones that do.

    Example:
        >>> parse({"language": "fr", "year": {"gte": 2020}})
        All(parts=(Eq(field='language', value='fr'), Compare(field='year', op='gte', value=2020)))
    """
    if where is None or isinstance(where, _KINDS):
        return where
    if not isinstance(where, Mapping):
        raise InputError(f"a filter is a dict such as {{'language': 'fr'}}, got {where!r}")
    parts = tuple(_clause(str(key), value) for key, value in where.items())
    return parts[0] if len(parts) == 1 else All(parts)


def written(where: Where | None) -> dict[str, object] | None:
    """Return the dict form of a condition, such as JSON can hold; ``parse`` gives it back.

    Raises:
        InputError: It has none: a condition on readers, or on a field whose name begins with ``$``.
    """
    found = parse(where)
    return None if found is None else _written(found)


def both(left: Filter | None, right: Filter | None) -> Filter | None:
    """Return the condition that holds where both hold; None holds everywhere."""
    if left is None or right is None:
        return left if right is None else right
    return All((left, right))


def matches(where: Filter | None, meta: Meta, readers: Sequence[str] = ()) -> bool:
    """Return whether one chunk's metadata and readers satisfy the condition: the definition."""
    match where:
        case None:
            return True
        case Eq(name, value):
            held = meta.get(name)
            return held is None if value is None else _equal(held, value)
        case In(name, values):
            return any(matches(Eq(name, value), meta) for value in values)
        case Compare(name, op, value):
            return _ordered(meta.get(name), op, value)
        case Exists(name):
            return meta.get(name) is not None
        case Readable(by):
            return not readers or not by.isdisjoint(readers)
        case All(parts):
            return all(matches(part, meta, readers) for part in parts)
        case AnyOf(parts):
            return any(matches(part, meta, readers) for part in parts)
        case Not(part):
            return not matches(part, meta, readers)


def fields(where: Filter | None) -> frozenset[str]:
    """Return the metadata fields a condition looks at."""
    match where:
        case Eq(name) | In(name) | Compare(name) | Exists(name):
            return frozenset({name})
        case All(parts) | AnyOf(parts):
            return frozenset[str]().union(*(fields(part) for part in parts))
        case Not(part):
            return fields(part)
        case _:
            return frozenset()


def _written(where: Filter) -> dict[str, object]:
    match where:
        case Eq(name, value):
            return {_named(name): value}
        case In(name, values):
            return {_named(name): {"in": list(values)}}
        case Compare(name, op, value):
            return {_named(name): {op: value}}
        case Exists(name):
            return {_named(name): {"exists": True}}
        case All(parts):
            return {"$and": [_written(part) for part in parts]}
        case AnyOf(parts):
            return {"$or": [_written(part) for part in parts]}
        case Not(part):
            return {"$not": _written(part)}
        case Readable():
            raise InputError(
                "a condition on readers cannot be written down",
                hint="who may read what follows from who asks: pass `asker`, or that user's key",
            )


def _named(name: str) -> str:
    if name.startswith("$"):
        raise InputError(f"a field named {name!r} has no dict form: '$' begins a filter word")
    return name


def _clause(key: str, value: object) -> Filter:
    if key in ("$and", "$or"):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise InputError(f"{key!r} takes a list of filters, got {value!r}")
        parts = tuple(_required(item) for item in value)
        return All(parts) if key == "$and" else AnyOf(parts)
    if key == "$not":
        return Not(_required(value))
    if key.startswith("$"):
        raise InputError(f"unknown filter word {key!r}; known: '$and', '$or', '$not'")
    if _is_scalar(value):
        return Eq(key, value)
    if isinstance(value, Mapping):
        parts = tuple(_operator(key, str(op), operand) for op, operand in value.items())
        return parts[0] if len(parts) == 1 else All(parts)
    if isinstance(value, Sequence) and not isinstance(value, _BYTES):
        return In(key, _scalars(key, value))
    raise InputError(
        f"the filter on {key!r} cannot use {value!r}: a scalar, a list or a dict of operators"
    )


def _required(item: object) -> Filter:
    if not isinstance(item, (*_KINDS, Mapping)):
        raise InputError(f"a filter is a dict such as {{'language': 'fr'}}, got {item!r}")
    found = parse(cast("Where", item))
    return found if found is not None else All(())


def _operator(key: str, op: str, operand: object) -> Filter:
    op = op.removeprefix("$")
    if op in _OPS:
        if isinstance(operand, bool) or not isinstance(operand, (str, int, float)):
            raise InputError(f"{op!r} on {key!r} takes a number or text, got {operand!r}")
        return Compare(key, op, operand)
    if op in ("eq", "ne") and _is_scalar(operand):
        return Eq(key, operand) if op == "eq" else Not(Eq(key, operand))
    if op in ("in", "nin"):
        found = In(key, _scalars(key, operand))
        return found if op == "in" else Not(found)
    if op == "exists":
        return Exists(key) if operand else Not(Exists(key))
    raise InputError(
        f"unknown operator {op!r} on {key!r}; known: eq ne lt lte gt gte in nin exists",
    )


def _scalars(key: str, values: object) -> tuple[Scalar, ...]:
    if not isinstance(values, Sequence) or isinstance(values, (str, *_BYTES)):
        raise InputError(f"the filter on {key!r} takes a list of values, got {values!r}")
    found = tuple(value for value in values if _is_scalar(value))
    if len(found) != len(values):
        raise InputError(
            f"the filter on {key!r} takes text, numbers, booleans and None, got {values!r}"
        )
    return found


def _is_scalar(value: object) -> TypeGuard[Scalar]:
    return value is None or isinstance(value, (str, int, float, bool))


def _equal(held: Scalar, value: Scalar) -> bool:
    if isinstance(held, bool) or isinstance(value, bool):
        return held is value
    return held == value


def _ordered(held: Scalar, op: Op, value: str | int | float) -> bool:
    if held is None or isinstance(held, bool) or isinstance(held, str) != isinstance(value, str):
        return False
    left, right = cast("tuple[float, float]", (held, value))
    match op:
        case "lt":
            return left < right
        case "lte":
            return left <= right
        case "gt":
            return left > right
        case "gte":
            return left >= right
