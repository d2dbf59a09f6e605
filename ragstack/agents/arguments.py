"""A tool's specification and a model's arguments in, checked values out; knows no tool.

The part of JSON Schema that tool specifications use: ``type``, ``properties``, ``required``,
``items``, ``additionalProperties``, ``enum``, ``anyOf``. Other keys say nothing about validity
here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import cast

from ragstack.errors import InputError
from ragstack.types import ToolSpec

__all__ = ["checked"]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list, tuple),
    "object": (dict, Mapping),
}


def checked(spec: ToolSpec, arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments as specified: ``3.0`` becomes ``3`` where an integer is due.

    Raises:
        InputError: An argument is missing, unknown or of another type; says which, for the model.
    """
    return _object(spec.parameters, arguments, spec.name)


def _object(
    schema: Mapping[str, object], value: Mapping[str, object], place: str
) -> dict[str, object]:
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties", {}))
    extra = schema.get("additionalProperties", not properties)
    for name in cast("Sequence[str]", schema.get("required", ())):
        if name not in value:
            raise InputError(f"{place}: the argument {name!r} is missing{_known(properties)}")
    found: dict[str, object] = {}
    for name, item in value.items():
        part = properties.get(name)
        if part is None and extra is False:
            near = difflib.get_close_matches(name, properties, n=1)
            raise InputError(
                f"{place}: there is no argument {name!r}{_known(properties)}",
                hint=f"did you mean {near[0]!r}?" if near else "",
            )
        if part is None:
            part = cast("Mapping[str, object]", extra) if isinstance(extra, Mapping) else {}
        found[name] = _value(part, item, f"{place}.{name}")
    return found


def _value(schema: Mapping[str, object], value: object, place: str) -> object:
    if "anyOf" in schema:
        return _any_of(cast("Sequence[Mapping[str, object]]", schema["anyOf"]), value, place)
    if "enum" in schema:
        allowed = cast("Sequence[object]", schema["enum"])
        if not any(type(value) is type(item) and value == item for item in allowed):
            known = ", ".join(repr(item) for item in allowed)
            raise InputError(f"{place} must be one of {known}, got {value!r}")
        return value
    kind = cast("str | None", schema.get("type"))
    if kind is None:
        return value
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    wrong_bool = isinstance(value, bool) and kind in ("integer", "number")
    if wrong_bool or not isinstance(value, _KINDS[kind]):
        raise InputError(f"{place} must be of type {kind}, got {value!r}")
    if kind == "array":
        items = cast("Mapping[str, object]", schema.get("items", {}))
        given = cast("Sequence[object]", value)
        return [_value(items, item, f"{place}[{number}]") for number, item in enumerate(given)]
    if kind == "object":
        return _object(schema, cast("Mapping[str, object]", value), place)
    return value


def _any_of(schemas: Sequence[Mapping[str, object]], value: object, place: str) -> object:
    complaints = []
    for schema in schemas:
        try:
            return _value(schema, value, place)
        except InputError as error:
            complaints.append(error.message)
    raise InputError("; or ".join(complaints))


def _known(properties: Mapping[str, object]) -> str:
    return f"; known: {', '.join(properties)}" if properties else "; it takes none"
