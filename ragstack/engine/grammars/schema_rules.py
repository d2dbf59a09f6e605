"""What the keywords of a JSON schema mean together: merging, types, limits. Writes no grammar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from ragstack.engine.grammars.pieces import Ranges, excluded
from ragstack.errors import GrammarError

__all__ = [
    "NOTES",
    "OF_TYPE",
    "TYPES",
    "Schema",
    "are_apart",
    "equal",
    "is_of",
    "limits",
    "merged",
    "other_characters",
    "pointer",
    "types",
]

Schema = Mapping[str, object]

NOTES = frozenset(
    {
        *("title", "description", "default", "examples", "example", "$comment", "$schema", "$id"),
        *("$anchor", "deprecated", "readOnly", "writeOnly", "$defs", "definitions"),
        *("discriminator", "contentMediaType"),
    }
)
"""Keywords that say nothing about validity."""
OF_TYPE: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    ),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}),
    "object": frozenset(
        {"properties", "required", "additionalProperties", "minProperties", "maxProperties"}
    ),
}
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_MOST = 10_000  # of maxLength, minItems and their like


def types(schema: Schema, path: str) -> tuple[str, ...]:
    """Return the types a schema allows; where it names none, those its keywords speak of."""
    given = schema.get("type")
    if given is None:
        spoken = tuple(kind for kind, keys in OF_TYPE.items() if keys & schema.keys())
        return spoken or tuple(kind for kind in TYPES if kind != "integer")
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not names or any(name not in TYPES for name in names):
        raise GrammarError(f"{path}/type is {given!r}, expected one of {', '.join(TYPES)}")
    return tuple(cast("Sequence[str]", names))


def limits(schema: Schema, least: str, most: str, path: str) -> tuple[int, int | None]:
    """Return two counts, 0 and None where they are not given."""
    for key in (least, most):
        value = schema.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            raise GrammarError(f"{path}/{key} is {value!r}, expected a count of at most {_MOST}")
    low, high = cast("int", schema.get(least, 0)), cast("int | None", schema.get(most))
    if high is not None and low > high:
        raise GrammarError(f"{path}: {least} is {low} and {most} is {high}")
    return low, high


def merged(left: Schema, right: object, path: str) -> Schema:
    """Return the schema of what both allow.

    Raises:
        GrammarError: Both say something of the same keyword, and not the same.
    """
    if not isinstance(right, Mapping):
        return left if right is True else {**left, "enum": []}
    whole: dict[str, object] = {**left}
    for key, value in right.items():
        if key not in whole or key in NOTES or whole[key] == value:
            whole[key] = value
        elif key == "required":
            both = (*cast("Sequence[str]", whole[key]), *cast("Sequence[str]", value))
            whole[key] = list(dict.fromkeys(both))
        elif key == "properties" and isinstance(value, Mapping):
            mine = cast("Schema", whole[key])
            if clash := [k for k in value if k in mine and mine[k] != value[k]]:
                raise GrammarError(f"{path}/properties/{pointer(clash[0])}: two schemas for one")
            whole[key] = {**mine, **value}
        elif key == "type" and (kinds := _common(whole[key], value)):
            whole[key] = kinds
        else:
            raise GrammarError(f"{path}/{key}: two schemas that both hold give it other values")
    if "additionalProperties" in whole and left.get("properties") != right.get("properties"):
        alone = "properties" in left and "properties" in right
        if alone and whole["additionalProperties"] is not True:
            raise GrammarError(f"{path}/additionalProperties: cannot be enforced for two at once")
    return whole


def _common(left: object, right: object) -> list[object]:
    one = [left] if isinstance(left, str) else list(cast("Sequence[object]", left))
    two = [right] if isinstance(right, str) else list(cast("Sequence[object]", right))
    if "number" in two and "integer" in one:
        return [kind for kind in one if kind in two or kind == "integer"]
    if "number" in one and "integer" in two:
        return [kind for kind in two if kind in one or kind == "integer"]
    return [kind for kind in one if kind in two]


def are_apart(left: Schema, right: Schema) -> bool:
    """Return whether no value is in both: by their types, or by a required constant member."""
    if not _overlap(_kinds(left), _kinds(right)):
        return True
    if _constants(left) and _constants(right):
        return not any(equal(a, b) for a in _constants(left) for b in _constants(right))
    if _kinds(left) != {"object"} or _kinds(right) != {"object"}:
        return False
    mine, yours = left.get("properties", {}), right.get("properties", {})
    if not isinstance(mine, Mapping) or not isinstance(yours, Mapping):
        return False
    both = set(cast("Sequence[str]", left.get("required", ())))
    both &= set(cast("Sequence[str]", right.get("required", ())))
    return any(
        isinstance(mine.get(name), Mapping)
        and isinstance(yours.get(name), Mapping)
        and (ours := _constants(mine[name]))
        and (theirs := _constants(yours[name]))
        and not any(equal(a, b) for a in ours for b in theirs)
        for name in both
    )


def _kinds(schema: Schema) -> set[str]:
    if "type" not in schema and _constants(schema):
        return {kind for kind in TYPES for value in _constants(schema) if is_of(value, (kind,))}
    if any(key in schema for key in ("anyOf", "oneOf", "allOf", "$ref")) and "type" not in schema:
        return set(TYPES)
    return set(types(schema, "#")) if "type" in schema else set(TYPES)


def _overlap(left: set[str], right: set[str]) -> bool:
    numeric = {"integer", "number"}
    return bool(left & right) or bool(left & numeric and right & numeric)


def _constants(schema: Schema) -> Sequence[object]:
    if "const" in schema:
        return [schema["const"]]
    return cast("Sequence[object]", schema.get("enum", ()))


def equal(left: object, right: object) -> bool:
    """Return whether two values are the same JSON: ``true`` is not 1, and 1.0 is."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return left == right


def is_of(value: object, kinds: Sequence[str]) -> bool:
    """Return whether a value is of one of these types."""
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, int | float):
        return "number" in kinds or ("integer" in kinds and value == int(value))
    known = {type(None): "null", str: "string", list: "array", tuple: "array", dict: "object"}
    return known.get(type(value), "") in kinds


def other_characters(known: Sequence[str]) -> Ranges:
    """Return every character but these."""
    return excluded((ord(char), ord(char)) for char in known)


def pointer(name: str) -> str:
    """Return a name as it stands in a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
