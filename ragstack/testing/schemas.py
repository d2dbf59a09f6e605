"""Random JSON schemas, and whether a value is valid: for tests of structured output.

The validator is written apart from the grammars that it judges, and knows the keywords that the
schemas here use.
"""

from __future__ import annotations

import ipaddress
import random
import re
import uuid
from collections.abc import Mapping
from datetime import date, datetime, time
from fractions import Fraction
from typing import Any

__all__ = ["problems", "random_schema"]

_NAMES = (
    "a",
    "name",
    "état",
    "数量",
    "x y",
    'qu"ote',
    "back\\slash",
    "emoji🎉",
    "n/m~o",
    "tab\tbed",
)
_PATTERNS = (
    "^[A-Z]{2,3}-[0-9]+$",
    "^(yes|no)$",
    r"\d{3}",
    "^[a-zé]+( [a-zé]+)*$",
    r'^"?\\?[^"]{1,4}$',
    "^x|y$",
)
_FORMATS = ("date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "hostname")


def random_schema(seed: int) -> dict[str, Any]:
    """Return a schema: nested, with references, alternatives, bounds; the same for one seed."""
    chance = random.Random(seed)
    schema = _schema(chance, 3)
    if "$ref" in str(schema):
        node = {
            "type": "object",
            "properties": {"value": _schema(chance, 0), "next": {"$ref": "#/$defs/node"}},
            "required": ["value"],
            "additionalProperties": False,
        }
        tree = {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"a": {"$ref": "#/$defs/tree"}, "b": {"$ref": "#/$defs/tree"}},
                    "required": ["a", "b"],
                },
                {"type": "integer", "minimum": 0, "maximum": 9},
            ]
        }
        schema["$defs"] = {"node": node, "tree": tree}
    return schema


def _schema(chance: random.Random, depth: int) -> dict[str, Any]:
    leaves = [_string, _string, _number, _number, _constant, _simple]
    inner = [_object, _object, _array, _alternatives, _reference, _together]
    return chance.choice(leaves + (inner * 2 if depth else []))(chance, depth)


def _simple(chance: random.Random, _: int) -> dict[str, Any]:
    kind = chance.choice(["boolean", "null", "string", "integer", "number", "any", "list"])
    if kind == "list":
        return {"type": ["string", "null"], "maxLength": 5}
    return {} if kind == "any" else {"type": kind, "description": "a value"}


def _string(chance: random.Random, _: int) -> dict[str, Any]:
    match chance.randrange(5):
        case 0:
            return {"type": "string", "pattern": chance.choice(_PATTERNS)}
        case 1:
            return {"type": "string", "format": chance.choice(_FORMATS)}
        case 2:
            return {"type": "string", "pattern": "^[a-z]+$", "minLength": 3, "maxLength": 8}
        case 3:
            least = chance.randrange(6)
            return {"type": "string", "minLength": least, "maxLength": least + chance.randrange(9)}
    return {"type": "string"}


def _number(chance: random.Random, _: int) -> dict[str, Any]:
    low = chance.choice([-1000, -7, -0.5, 0, 0.125, 3, 99, 1e6])
    high = low + chance.choice([0, 1, 12.5, 1000])
    schema: dict[str, Any] = {"type": chance.choice(["integer", "number"])}
    if schema["type"] == "integer":
        low, high = int(low), int(high) + 1
    lower, upper = (
        chance.choice(["minimum", "exclusiveMinimum"]),
        chance.choice(["maximum", "exclusiveMaximum"]),
    )
    if high - low < 2:
        lower, upper = "minimum", "maximum"
    if chance.random() < 0.7:
        schema[lower] = low
    if chance.random() < 0.7:
        schema[upper] = high
    if schema["type"] == "integer" and chance.random() < 0.2 and high - low > 10:
        schema["multipleOf"] = chance.choice([1, 2, 5, 7])
    return schema


def _constant(chance: random.Random, _: int) -> dict[str, Any]:
    values = ["red", "grün", 'a "b"\n', 12, -0.5, None, True, [1, "é"], {"k": []}, ""]
    if chance.random() < 0.3:
        return {"const": chance.choice(values)}
    return {"enum": chance.sample(values, chance.randint(1, 4))}


def _object(chance: random.Random, depth: int) -> dict[str, Any]:
    names = chance.sample(_NAMES, chance.randrange(5))
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _schema(chance, depth - 1) for name in names},
        "required": [name for name in names if chance.random() < 0.5],
    }
    extra = chance.randrange(3)
    if extra:
        schema["additionalProperties"] = False if extra == 1 else _schema(chance, depth - 1)
    if not names and extra == 2 and chance.random() < 0.5:
        schema["minProperties"], schema["maxProperties"] = 1, 3
    return schema


def _array(chance: random.Random, depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": _schema(chance, depth - 1)}
    if chance.random() < 0.3:
        schema["prefixItems"] = [_schema(chance, depth - 1) for _ in range(2)]
    if chance.random() < 0.5:
        schema["minItems"] = chance.randrange(4)
        schema["maxItems"] = schema["minItems"] + chance.randrange(3)
    return schema


def _alternatives(chance: random.Random, depth: int) -> dict[str, Any]:
    if chance.random() < 0.2:
        kinds = [{"type": "string"}, {"type": "integer"}, {"type": "null"}]
        return {"oneOf": kinds}
    return {"anyOf": [_schema(chance, depth - 1) for _ in range(chance.randint(1, 3))]}


def _reference(chance: random.Random, _: int) -> dict[str, Any]:
    return {"$ref": chance.choice(["#/$defs/node", "#/$defs/tree"])}


def _together(chance: random.Random, depth: int) -> dict[str, Any]:
    left = {"type": "object", "properties": {"p": _schema(chance, depth - 1)}, "required": ["p"]}
    return {"allOf": [left, {"properties": {"q": _schema(chance, 0)}, "required": ["q"]}]}


def problems(value: object, schema: Any, root: Any) -> list[str]:  # noqa: C901  # one case a kind
    """Return what of a schema a value breaks, nothing where it is valid."""
    if isinstance(schema, bool):
        return [] if schema else [f"{value!r} stands where nothing may"]
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return problems(value, target, root)
    found: list[str] = []
    for part in schema.get("allOf", ()):
        found += problems(value, part, root)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            fitting = sum(not problems(value, part, root) for part in schema[key])
            if fitting < 1 or (key == "oneOf" and fitting > 1):
                found.append(f"{value!r} fits {fitting} of {key}")
    constants = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if constants is not None and not any(_same(value, item) for item in constants):
        found.append(f"{value!r} is none of {constants!r}")
    kinds = schema.get("type", ())
    if kinds and not any(_is(value, k) for k in ([kinds] if isinstance(kinds, str) else kinds)):
        return [*found, f"{value!r} is not of type {kinds}"]
    if isinstance(value, str):
        found += _text_problems(value, schema)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found += _number_problems(value, schema)
    elif isinstance(value, list):
        found += _array_problems(value, schema, root)
    elif isinstance(value, dict):
        found += _object_problems(value, schema, root)
    return found


def _same(left: object, right: object) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and value == int(value))
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null") == kind


def _text_problems(value: str, schema: Mapping[str, Any]) -> list[str]:
    found = []
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        found.append(f"{value!r} is of length {len(value)}")
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        found.append(f"{value!r} does not match {schema['pattern']!r}")
    if "format" in schema and not _formatted(value, schema["format"]):
        found.append(f"{value!r} is no {schema['format']}")
    return found


def _formatted(value: str, form: str) -> bool:
    try:
        match form:
            case "date":
                date.fromisoformat(value) if not value.startswith("0000") else None
            case "time":
                time.fromisoformat(value)
            case "date-time":
                datetime.fromisoformat(value) if not value.startswith("0000") else None
            case "uuid":
                uuid.UUID(value)
            case "ipv4":
                ipaddress.IPv4Address(value)
            case "ipv6":
                ipaddress.IPv6Address(value)
            case "email":
                return bool(re.fullmatch(r"[^@\s]+@[^@\s]+", value))
            case "hostname":
                return all(0 < len(part) < 64 for part in value.split("."))
    except ValueError:
        return False
    return True


def _number_problems(value: float, schema: Mapping[str, Any]) -> list[str]:
    checks: dict[str, Any] = {
        "minimum": lambda bound: value >= bound,
        "exclusiveMinimum": lambda bound: value > bound,
        "maximum": lambda bound: value <= bound,
        "exclusiveMaximum": lambda bound: value < bound,
        "multipleOf": lambda step: (Fraction(str(value)) / Fraction(str(step))).denominator == 1,
    }
    return [
        f"{value!r} breaks {key} {schema[key]}"
        for key, holds in checks.items()
        if key in schema and not holds(schema[key])
    ]


def _array_problems(value: list[Any], schema: Mapping[str, Any], root: Any) -> list[str]:
    found = []
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        found.append(f"{len(value)} items")
    prefix = schema.get("prefixItems", [])
    for i, item in enumerate(value):
        part = prefix[i] if i < len(prefix) else schema.get("items", True)
        found += problems(item, part, root)
    return found


def _object_problems(value: dict[str, Any], schema: Mapping[str, Any], root: Any) -> list[str]:
    found = [f"{name!r} is missing" for name in schema.get("required", ()) if name not in value]
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(value))
    if not least <= len(value) <= most:
        found.append(f"{len(value)} members")
    named = schema.get("properties", {})
    for name, item in value.items():
        found += problems(item, named.get(name, schema.get("additionalProperties", True)), root)
    return found
