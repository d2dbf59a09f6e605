"""A Python type in, the JSON schema of its values out. Knows no grammar and no tool."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from ragstack.errors import InputError

__all__ = ["schema_of"]

_SIMPLE: Mapping[object, Mapping[str, object]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    Any: {},
    object: {},
}
_READ_BACK = (datetime.date, datetime.datetime, uuid.UUID)  # JSON has them as text alone


def schema_of(hint: Any, *, place: str = "", plain: bool = False) -> dict[str, object]:
    """Return the JSON schema of a type's values, as a generator can be made to write them.

    Dataclasses, TypedDicts, enums, ``Literal``, unions, ``str int float bool None Any``, dates,
    UUIDs, and lists, sequences, tuples and dicts by ``str`` of these; a type may contain itself.
    A field with a default may be left out; ``Annotated[T, "what it is"]`` becomes a description.

    Args:
        place: What the type is of, for messages; the type's own name if empty.
        plain: Only types whose values JSON gives back as they are: no dataclasses, enums, tuples,
            sets, dates or UUIDs, and none that contains itself.

    Raises:
        InputError: JSON has no such type; says where it stands.

    Example:
        >>> schema_of(list[int])
        {'type': 'array', 'items': {'type': 'integer'}}
    """
    reader = _Reader(plain)
    schema = reader.read(hint, place or getattr(hint, "__name__", str(hint)))
    return {**schema, "$defs": reader.definitions} if reader.definitions else schema


class _Reader:
    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self.definitions: dict[str, object] = {}
        self._open: list[Any] = []
        self._names: dict[Any, str] = {}

    def read(self, hint: Any, place: str) -> dict[str, object]:
        if _hashable(hint) and hint in _SIMPLE and not (self._plain and hint in _READ_BACK):
            return dict(_SIMPLE[hint])
        origin, parts = get_origin(hint), get_args(hint)
        if origin is typing.Annotated:
            told = [part for part in parts[1:] if isinstance(part, str)]
            return self.read(parts[0], place) | ({"description": told[0]} if told else {})
        if origin in (typing.Required, typing.NotRequired):
            return self.read(parts[0], place)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.read(part, place) for part in parts]}
        if origin is Literal:
            return {"enum": list(parts)}
        if hint is list or origin in (list, Sequence):
            return {"type": "array"} | ({"items": self.read(parts[0], place)} if parts else {})
        if hint is dict or (origin in (dict, Mapping) and parts[0] is str):
            values = self.read(parts[1], f"{place}[str]") if parts else {}
            return {"type": "object", "additionalProperties": values or True}
        if typing.is_typeddict(hint):
            return self._named(hint, place)
        return self._read_back(hint, place)

    def _read_back(self, hint: Any, place: str) -> dict[str, object]:
        origin, parts = get_origin(hint), get_args(hint)
        if not self._plain:
            if origin is tuple:
                return self._tuple(parts, place)
            if origin in (set, frozenset):
                return {"type": "array", "items": self.read(parts[0], place)}
            if isinstance(hint, type) and issubclass(hint, enum.Enum):
                return {"enum": [_value(member.value, place) for member in hint]}
            if dataclasses.is_dataclass(hint):
                return self._named(hint, place)
        raise InputError(
            f"{place}: JSON has no type for {hint!r}",
            hint="use str, int, float, bool, None, Literal, TypedDicts, lists, dicts by str, or "
            f"unions of these{'' if self._plain else ', dataclasses and enums too'}",
        )

    def _tuple(self, parts: tuple[Any, ...], place: str) -> dict[str, object]:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return {"type": "array", "items": self.read(parts[0], place)}
        items = [self.read(part, f"{place}[{i}]") for i, part in enumerate(parts)]
        count = len(items)
        return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}

    def _named(self, hint: Any, place: str) -> dict[str, object]:
        """Return the members, or a reference where the type contains itself."""
        if hint in self._open or hint in self._names:
            if self._plain:
                raise InputError(f"{place}: the type {hint.__name__!r} contains itself")
            if hint not in self._names:
                taken = self._names.values()
                self._names[hint] = hint.__name__ + "_" * list(taken).count(hint.__name__)
            return {"$ref": f"#/$defs/{self._names[hint]}"}
        self._open.append(hint)
        members = self._members(hint, place)
        self._open.pop()
        if hint not in self._names:
            return members
        self.definitions[self._names[hint]] = members
        return {"$ref": f"#/$defs/{self._names[hint]}"}

    def _members(self, hint: Any, place: str) -> dict[str, object]:
        hints = typing.get_type_hints(hint, include_extras=True)
        if dataclasses.is_dataclass(hint):
            fields = [field for field in dataclasses.fields(hint) if field.init]
            names = [field.name for field in fields]
            required = [
                field.name
                for field in fields
                if field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            ]
        else:
            names = list(hints)
            required = [name for name in names if _is_required(hints[name], name, hint)]
        return {
            "type": "object",
            "properties": {name: self.read(hints[name], f"{place}.{name}") for name in names},
            "required": required,
            "additionalProperties": False,
        }


def _is_required(member: Any, name: str, owner: Any) -> bool:
    """Say it by the mark: a TypedDict of a module with postponed annotations did not read it."""
    while (origin := get_origin(member)) is typing.Annotated:
        member = get_args(member)[0]
    if origin in (typing.Required, typing.NotRequired):
        return origin is typing.Required
    return name in owner.__required_keys__


def _value(value: object, place: str) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise InputError(f"{place}: the enum's value {value!r} is not a plain JSON value")


def _hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:
        return False
    return True
