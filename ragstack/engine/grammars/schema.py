"""A JSON schema in, a part of a grammar out: all that it writes is valid, and it can always end.

It may write less than the schema allows (no exponents, no members that a schema with ``properties``
does not name), never more. A keyword that cannot be enforced is refused, by its path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import cast
from urllib.parse import unquote

from ragstack.engine.grammars.formats import FORMATS
from ragstack.engine.grammars.numbers import number
from ragstack.engine.grammars.pieces import MAX_CODE, Piece, Pieces, Ranges, json_text
from ragstack.engine.grammars.regex import from_regex
from ragstack.engine.grammars.schema_rules import (
    NOTES,
    OF_TYPE,
    TYPES,
    Schema,
    are_apart,
    equal,
    is_of,
    limits,
    merged,
    other_characters,
    pointer,
    types,
)
from ragstack.errors import GrammarError

__all__ = ["KEYWORDS", "SchemaReader"]

KEYWORDS = frozenset({"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}).union(
    *OF_TYPE.values()
)
"""What is enforced; annotations are passed over, every other keyword is refused."""
_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
_PLAIN: Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, MAX_CODE))


class SchemaReader:
    """Reads one schema into parts; names of its rules begin with a prefix."""

    def __init__(self, root: object, pieces: Pieces, *, prefix: str = "j") -> None:
        self._root = root
        self._pieces = pieces
        self._prefix = prefix
        self._numbers = count()
        self._refs: dict[str, Piece] = {}
        self._any: Piece | None = None
        space = pieces.chars(((10, 10), (32, 32)))
        self._space = pieces.rep(pieces.rule(f"{prefix.upper()}_WS", space), 0, 1)

    def read(self) -> Piece:
        """Return the values of the schema.

        Raises:
            GrammarError: A keyword cannot be enforced, or a value of one makes no sense.
        """
        try:
            json_text(self._root)
        except (TypeError, ValueError, RecursionError) as error:
            raise GrammarError(f"the schema is not JSON: {error}") from error
        return self._value(self._root, "#")

    # -- values ------------------------------------------------------------------------------

    def _value(self, schema: object, path: str) -> Piece:
        if schema is False:
            return self._pieces.fail
        if schema is True or schema == {}:
            return self._anything()
        if not isinstance(schema, Mapping):
            raise GrammarError(f"{path} is {schema!r}, expected a schema")
        self._check_keywords(schema, path)
        for key in ("$ref", "allOf", "anyOf", "oneOf"):
            if key in schema:
                return self._combined(schema, key, path)
        if "enum" in schema or "const" in schema:
            return self._constants(schema, path)
        choices = [self._of_type(kind, schema, path) for kind in types(schema, path)]
        return self._pieces.alt(*choices)

    def _check_keywords(self, schema: Schema, path: str) -> None:
        for key in schema:
            if not isinstance(key, str):
                raise GrammarError(f"{path} has the key {key!r}, expected strings")
            if key not in KEYWORDS and key not in NOTES and not key.startswith("x-"):
                raise GrammarError(
                    f"{path}/{key}: the keyword {key!r} cannot be enforced",
                    hint=f"supported: {', '.join(sorted(KEYWORDS))}",
                )

    def _combined(self, schema: Schema, key: str, path: str) -> Piece:
        rest = {k: v for k, v in schema.items() if k != key}
        bare = not rest.keys() - NOTES
        if key == "$ref":
            target = schema[key]
            if bare:
                return self._ref(target, f"{path}/$ref")
            return self._value(merged(rest, self._resolved(target, path), path), path)
        branches = schema[key]
        if not isinstance(branches, Sequence) or isinstance(branches, str) or not branches:
            raise GrammarError(f"{path}/{key} is {branches!r}, expected a list of schemas")
        if key == "allOf":
            whole: Schema = rest
            for i, branch in enumerate(branches):
                whole = merged(whole, self._unwrapped(branch, path), f"{path}/allOf/{i}")
            return self._value(whole, path)
        if key == "oneOf":
            self._check_apart([self._unwrapped(b, path) for b in branches], f"{path}/oneOf")
        return self._pieces.alt(
            *(
                self._value(
                    b if bare else merged(rest, self._unwrapped(b, path), f"{path}/{key}/{i}"),
                    f"{path}/{key}/{i}",
                )
                for i, b in enumerate(branches)
            )
        )

    def _ref(self, reference: object, path: str) -> Piece:
        target = self._resolved(reference, path)
        name = str(reference)
        if name not in self._refs:
            rule = f"{self._prefix}_ref{next(self._numbers)}"
            self._refs[name] = self._pieces.named(rule)
            self._pieces.rule(rule, self._value(target, name))
        return self._refs[name]

    def _resolved(self, reference: object, path: str) -> object:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise GrammarError(f"{path}: the reference {reference!r} is not within the schema")
        found: object = self._root
        for part in unquote(reference[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise GrammarError(f"{path}: the reference {reference!r} leads nowhere")
        return found

    def _unwrapped(self, schema: object, path: str) -> Schema:
        seen: set[str] = set()
        while (
            isinstance(schema, Mapping)
            and "$ref" in schema
            and not schema.keys() - NOTES - {"$ref"}
        ):
            target = str(schema["$ref"])
            if target in seen:
                raise GrammarError(f"{path}: the reference {target!r} leads back to itself")
            seen.add(target)
            schema = self._resolved(schema["$ref"], path)
        if not isinstance(schema, Mapping):
            return {} if schema is True else {"enum": []}
        return schema

    def _check_apart(self, branches: Sequence[Schema], path: str) -> None:
        """Refuse alternatives of which two may hold at once; by type, or by a constant member."""
        for i, left in enumerate(branches):
            for right in branches[i + 1 :]:
                if not are_apart(left, right):
                    raise GrammarError(
                        f"{path}: that only one of these holds cannot be enforced",
                        hint="use anyOf, or give each a required member with a const of its own",
                    )

    def _constants(self, schema: Schema, path: str) -> Piece:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not isinstance(values, list | tuple):
            raise GrammarError(f"{path}/enum is {values!r}, expected a list")
        if "enum" in schema and "const" in schema:
            values = [v for v in values if equal(v, schema["const"])]
        kinds = types(schema, path) if "type" in schema else TYPES
        if other := schema.keys() - NOTES - {"enum", "const", "type"}:
            raise GrammarError(f"{path}/{min(other)}: cannot be enforced beside enum or const")
        try:
            texts = [json_text(value) for value in values if is_of(value, kinds)]
            return self._pieces.alt(*(self._pieces.literal(text) for text in texts))
        except (TypeError, ValueError) as error:
            raise GrammarError(f"{path} has a value that is not JSON: {error}") from error

    def _of_type(self, kind: str, schema: Schema, path: str) -> Piece:
        pieces = self._pieces
        match kind:
            case "null":
                return pieces.literal("null")
            case "boolean":
                return pieces.alt(pieces.literal("true"), pieces.literal("false"))
            case "integer" | "number":
                try:
                    return self._terminal(number(schema, pieces, whole=kind == "integer"))
                except GrammarError as error:
                    raise GrammarError(f"{path}: {error.message}") from error
            case "string":
                return self._string(schema, path)
            case "array":
                return self._rule(self._array(schema, path))
        return self._rule(self._object(schema, path))

    def _terminal(self, piece: Piece) -> Piece:
        return self._pieces.rule(f"{self._prefix.upper()}{next(self._numbers)}", piece)

    def _rule(self, piece: Piece) -> Piece:
        if piece.node == self._pieces.fail.node:
            return piece
        return self._pieces.rule(f"{self._prefix}{next(self._numbers)}", piece)

    def _anything(self) -> Piece:
        if self._any is None:
            name = f"{self._prefix}_any"
            self._any = self._pieces.named(name)
            choices = [self._of_type(kind, {}, "#") for kind in TYPES if kind != "integer"]
            self._pieces.rule(name, self._pieces.alt(*choices))
        return self._any

    # -- strings -----------------------------------------------------------------------------

    def spell(self, ranges: Ranges) -> Piece:
        """Return characters as they stand in a JSON string; each has one spelling."""
        plain = [(max(a, low), min(b, high)) for a, b in ranges for low, high in _PLAIN]
        escaped = [
            self._pieces.literal(text)
            for code, text in _ESCAPES.items()
            if any(a <= code <= b for a, b in ranges)
        ]
        kept = tuple(pair for pair in plain if pair[0] <= pair[1])
        return self._pieces.alt(*([self._pieces.chars(kept)] if kept else []), *escaped)

    def _string(self, schema: Schema, path: str) -> Piece:
        pieces = self._pieces
        least, most = limits(schema, "minLength", "maxLength", path)
        parts: list[Piece] = []
        for key in ("pattern", "format"):
            if key not in schema:
                continue
            text = schema[key]
            if key == "format" and text not in FORMATS:
                raise GrammarError(
                    f"{path}/format: the format {text!r} cannot be enforced",
                    hint=f"supported: {', '.join(FORMATS)}",
                )
            pattern = FORMATS[str(text)] if key == "format" else cast("str", text)
            try:
                parts.append(from_regex(pattern, pieces, spell=self.spell, search=key == "pattern"))
            except GrammarError as error:
                raise GrammarError(f"{path}/{key}: {error.message}", hint=error.hint) from error
        if not parts or least or most is not None:
            parts.append(pieces.rep(self.spell(((0, MAX_CODE),)), least, most))
        body = parts[0]
        for part in parts[1:]:
            body = pieces.both(body, part)
        quote = pieces.literal('"')
        return self._terminal(pieces.seq(quote, body, quote))

    # -- arrays and objects --------------------------------------------------------------------

    def _array(self, schema: Schema, path: str) -> Piece:
        least, most = limits(schema, "minItems", "maxItems", path)
        prefix = schema.get("prefixItems", ())
        if not isinstance(prefix, Sequence) or isinstance(prefix, str):
            raise GrammarError(f"{path}/prefixItems is {prefix!r}, expected a list of schemas")
        if schema.get("uniqueItems") and (most is None or most > 1):
            raise GrammarError(f"{path}/uniqueItems: the keyword 'uniqueItems' cannot be enforced")
        item = self._value(schema.get("items", True), f"{path}/items")
        first = [self._value(part, f"{path}/prefixItems/{i}") for i, part in enumerate(prefix)]
        if most is not None:
            first = first[:most]
        more = None if most is None else most - len(first)
        comma = self._pieces.seq(self._pieces.literal(","), self._space)
        pieces = self._pieces
        tail = pieces.rep(pieces.seq(comma, item), max(0, least - len(first)), more)
        if not first:
            left = None if more is None else more - 1
            row = pieces.seq(item, pieces.rep(pieces.seq(comma, item), max(0, least - 1), left))
            items = pieces.nothing if most == 0 else pieces.rep(row, 0 if least == 0 else 1, 1)
        else:
            items = tail
            for at in range(len(first) - 1, -1, -1):
                items = pieces.seq(*([comma] if at else []), first[at], items)
                items = pieces.rep(self._rule(items), 1 if at < least else 0, 1)
        return self._enclosed("[", items, "]")

    def _enclosed(self, opening: str, inner: Piece, closing: str) -> Piece:
        pieces = self._pieces
        if inner.node == pieces.fail.node:
            return inner
        parts = (pieces.literal(opening), self._space, inner, self._space, pieces.literal(closing))
        return pieces.seq(*parts)

    def _object(self, schema: Schema, path: str) -> Piece:
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        if not isinstance(properties, Mapping):
            raise GrammarError(f"{path}/properties is {properties!r}, expected an object")
        if not isinstance(required, Sequence) or isinstance(required, str):
            raise GrammarError(f"{path}/required is {required!r}, expected a list of names")
        extra = schema.get("additionalProperties", not properties)
        for name in required:
            if name not in properties and extra is False and "additionalProperties" in schema:
                raise GrammarError(f"{path}/required names {name!r}, which is not a property")
        named = dict(properties) | {
            name: schema.get("additionalProperties", True)
            for name in required
            if name not in properties
        }
        least, most = limits(schema, "minProperties", "maxProperties", path)
        must = len(set(required))
        if least > must + (extra is not False) or (most is not None and must > most):
            raise GrammarError(f"{path}/minProperties: so many members cannot be enforced")
        if most is not None and most < len(named) and must < len(named):
            raise GrammarError(f"{path}/maxProperties: cannot be enforced beside optional members")
        more = None if most is None else most - len(named)
        members = self._extra(extra, list(named), (max(0, least - must), more), path)
        if members is None:
            members = (self._pieces.fail, self._pieces.nothing)
        return self._enclosed("{", self._members(named, set(required), members, path), "}")

    def _members(
        self,
        named: Mapping[str, object],
        required: set[str],
        rest: tuple[Piece, Piece],
        path: str,
    ) -> Piece:
        """Return members in their order; ``rest`` is what follows when none came yet, and one."""
        pieces = self._pieces
        comma = pieces.seq(pieces.literal(","), self._space)
        first, later = rest
        begun = all(name in required for name in named) and bool(named)
        if not begun and first.node == pieces.fail.node:
            first = pieces.nothing
        for name in reversed(list(named)):
            value = self._value(named[name], f"{path}/properties/{pointer(name)}")
            member = self._member(pieces.literal(json_text(name)), value)
            one, another = pieces.seq(member, later), pieces.seq(comma, member, later)
            if name in required:
                first, later = one, another
            else:
                first, later = pieces.alt(one, first), pieces.alt(another, later)
            first, later = self._rule(first), self._rule(later)
        return first

    def _member(self, key: Piece, value: Piece) -> Piece:
        if value.node == self._pieces.fail.node:
            return value
        return self._pieces.seq(key, self._pieces.literal(":"), self._space, value)

    def _extra(
        self, schema: object, names: Sequence[str], counts: tuple[int, int | None], path: str
    ) -> tuple[Piece, Piece] | None:
        """Return the members that are not named, when none came before them, and when one did."""
        least, most = counts
        if schema is False or (most is not None and most <= 0):
            return None
        pieces = self._pieces
        value = self._value(schema, f"{path}/additionalProperties")
        quote = pieces.literal('"')
        key = self._terminal(pieces.seq(quote, self._other(names), quote))
        member = self._member(key, value)
        if member.node == pieces.fail.node:
            return None
        comma = pieces.seq(pieces.literal(","), self._space)
        again = pieces.seq(comma, member)
        more = None if most is None else most - 1
        row = pieces.seq(member, pieces.rep(again, 0, more))
        return pieces.rep(row, min(least, 1), 1), pieces.rep(again, least, most)

    def _other(self, names: Sequence[str]) -> Piece:
        """Return the text between the quotes of a key that is none of the names."""
        pieces = self._pieces
        anything = pieces.rep(self.spell(((0, MAX_CODE),)))
        if not names:
            return anything
        begun: dict[str, list[str]] = {}
        for name in names:
            if name:
                begun.setdefault(name[0], []).append(name[1:])
        apart = other_characters(list(begun))
        choices = [pieces.seq(self.spell(apart), anything)]
        choices += [
            pieces.seq(self.spell(((ord(char), ord(char)),)), self._other(rest))
            for char, rest in begun.items()
        ]
        return pieces.alt(*choices, *([] if "" in names else [pieces.nothing]))
