"""What keywords and rules mean together: texts drawn at random keep them, the rest is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from ragstack.engine.grammar import Compiler
from ragstack.engine.vocabulary import Detokenizer, Vocabulary
from ragstack.errors import GrammarError
from ragstack.testing.schemas import problems
from ragstack.types import Grammar, JsonSchema, Lark

_TOKENS = 60
_SEEDS = range(6)


@pytest.fixture(scope="module")
def compiler(tiny_vocabulary: Vocabulary) -> Compiler:
    return Compiler(tiny_vocabulary)


def _drawn(vocabulary: Vocabulary, compiler: Compiler, grammar: Grammar, seed: int) -> str:
    constraint = compiler.compile(grammar, _TOKENS)
    random, text = np.random.default_rng(seed), Detokenizer(vocabulary)
    shown = ""
    while True:
        logits = constraint.mask(random.standard_normal(vocabulary.size).astype(np.float32))
        token = int(random.choice(np.flatnonzero(np.isfinite(logits))))
        if token not in vocabulary.ends:
            constraint.accept(token)
            shown += text.push(token)
        if token in vocabulary.ends or constraint.complete:
            return shown + text.flush()


_A, _B = {"const": "a"}, {"const": "b"}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 5}]},
        {"allOf": [{"type": ["number", "null"]}, {"type": ["integer", "string"]}]},
        {"allOf": [{"type": ["integer", "null"]}, {"type": "number"}]},
        {"type": "string", "allOf": [True, {"maxLength": 2}]},
        {"maxLength": 3, "anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]},
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
                {"properties": {"b": {"type": "boolean"}}, "required": ["a", "b"]},
            ]
        },
        {"oneOf": [{"type": "string", "maxLength": 2}, {"type": "integer"}, {"const": None}]},
        {"oneOf": [{"enum": ["a", 1]}, {"enum": ["b", True]}]},
        {
            "oneOf": [
                {"type": "object", "properties": {"is": kind}, "required": ["is"]}
                for kind in (_A, _B)
            ]
        },
        {"enum": ["a", "b", 1], "const": "b"},
        {"enum": [1, 2.5, "x", None, True, [1], {"a": 1}], "type": ["integer", "array", "object"]},
        {"type": "array", "items": False},
        {"type": "array", "prefixItems": [{"type": "null"}, _A], "items": _B, "minItems": 1},
        {"type": "array", "prefixItems": [{"type": "null"}, _A], "maxItems": 1},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "maxItems": 1},
        {"type": "object", "properties": {"a": False, "b": {"type": "null"}}},
        {"type": "object", "required": ["x"], "additionalProperties": {"type": "boolean"}},
        {"type": "object", "properties": {"a": _A}, "additionalProperties": {"type": "null"}},
        {"type": "object", "additionalProperties": {"type": "null"}, "maxProperties": 2},
        {"type": "object", "additionalProperties": False},
        {"type": "string", "pattern": "^[ab]+$", "minLength": 2, "maxLength": 4},
        {"$ref": "#/$defs/pair", "$defs": {"pair": {"type": "array", "items": _A, "maxItems": 2}}},
        {"$ref": "#/$defs/text", "maxLength": 2, "$defs": {"text": {"type": "string"}}},
        {"minLength": 1, "maxLength": 2},
        {"maximum": 5, "minimum": 1},
    ],
)
def test_what_is_drawn_keeps_the_schema(
    tiny_vocabulary: Vocabulary, compiler: Compiler, schema: dict[str, Any]
) -> None:
    for seed in _SEEDS:
        text = _drawn(tiny_vocabulary, compiler, JsonSchema(schema), seed)
        assert not problems(json.loads(text), schema, schema), (text, seed)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"properties": {"a": {1: 2}}}, "the key 1"),
        ({"properties": {"a": 5}}, "expected a schema"),
        ({"not": {}}, "'not' cannot be enforced"),
        ({"anyOf": "x"}, "expected a list of schemas"),
        ({"oneOf": []}, "expected a list of schemas"),
        ({"$ref": "http://localhost/a"}, "not within the schema"),
        ({"$ref": "#/$defs/a"}, "leads nowhere"),
        ({"anyOf": [{"$ref": "#/anyOf/7"}]}, "leads nowhere"),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}}, "to itself"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "only one of these"),
        ({"oneOf": [{"enum": ["a"]}, {"enum": ["a", "b"]}]}, "only one of these"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "only one of these"),
        ({"oneOf": [{"type": "object"}, {"type": "object", "properties": 3}]}, "only one"),
        ({"oneOf": [{"anyOf": [{}]}, {"type": "null"}]}, "only one of these"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "type: two schemas"),
        ({"allOf": [{"minimum": 1}, {"minimum": 2}]}, "minimum: two schemas"),
        (
            {"allOf": [{"properties": {"a/b": {}}}, {"properties": {"a/b": {"type": "null"}}}]},
            "properties/a~1b: two schemas",
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {}}, "additionalProperties": False},
                    {"properties": {"b": {}}},
                ]
            },
            "cannot be enforced for two",
        ),
        ({"enum": "a"}, "expected a list"),
        ({"enum": ["a"], "maxLength": 3}, "beside enum or const"),
        ({"type": []}, "expected one of"),
        ({"type": ["string", "text"]}, "expected one of"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "#"),
        ({"type": "string", "minLength": -1}, "a count of at most"),
        ({"type": "string", "maxLength": True}, "a count of at most"),
        ({"type": "string", "minLength": 4, "maxLength": 3}, "minLength is 4 and maxLength is 3"),
        ({"type": "string", "format": "colour"}, "the format 'colour' cannot be enforced"),
        ({"type": "string", "pattern": "("}, "#/pattern"),
        ({"type": "array", "prefixItems": "x"}, "expected a list of schemas"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' cannot be enforced"),
        ({"type": "object", "properties": []}, "expected an object"),
        ({"type": "object", "required": "a"}, "expected a list of names"),
        (
            {"type": "object", "required": ["a"], "additionalProperties": False},
            "which is not a property",
        ),
        ({"type": "object", "minProperties": 9}, "so many members"),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1}, "optional"),
    ],
)
def test_what_a_schema_cannot_have_is_refused_by_its_path(
    compiler: Compiler, schema: dict[str, Any], told: str
) -> None:
    with pytest.raises(GrammarError, match=re.escape(told)):
        compiler.compile(JsonSchema(schema))


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        ('start: "a" ("b" | "c")* ["d"]', "a[bc]*d?"),
        ('start: word{2,3}\nword: /[ab]/ "-"', "([ab]-){2,3}"),
        ('start: A+ "."\nA: "x"{2} | "y"? "z"', "(xx|y?z)+\\."),
        ("start: NAME\nNAME: /[a-d]{1,4}/ & ~/b.*/ & ~/.?/", "(?!b)[a-d]{2,4}"),
        ('// a comment\n?start: !word  # another\nword: "\\x41\\u00e9\\n"', "Aé\n"),
        ('start: %regex {"substring_words": "one two three"} "!"', "[a-z ]*!"),
        ('start: %regex {"substring_chunks": ["ab", "", "cd"]} "!"', "(ab|cd|abcd)?!"),
        ('start: "<" %json {"enum": [1, 2]} ">"', "<[12]>"),
        ("start: /a.b/s", "(?s:a.b)"),
        ("start: /a\\/b/", "a/b"),
    ],
)
def test_what_is_drawn_keeps_the_rules(
    tiny_vocabulary: Vocabulary, compiler: Compiler, grammar: str, pattern: str
) -> None:
    for seed in _SEEDS:
        text = _drawn(tiny_vocabulary, compiler, Lark(grammar), seed)
        assert re.fullmatch(pattern, text), (text, seed)


@pytest.mark.parametrize(
    ("grammar", "told"),
    [
        (3, "is a string"),
        ('other: "a"', "no rule named 'start'"),
        ('start: "a" )', "was not expected"),
        ('start: ("a"', "is not closed"),
        ('start: ["a"', "is not closed"),
        ("start: *", "was not expected here"),
        ("start: A\nA: B\nB: A", "uses itself"),
        ("start: a b", "does not define"),
        ('start: "a"i', "without case"),
        ("start: /a/x", "the flags 'x'"),
        ("start: <|nothing|>", "no special token"),
        ('start: %regex {"substring_chars": ""}', "is not supported"),
        ("start: %regex 3", "is not supported"),
        ("start: %regex {", "not followed by JSON"),
        ("start: %json", "not followed by JSON"),
        ("%import common.WS", "line 1: %import is not supported"),
        ('start: "a"\n\n ; ', "line 3"),
        ('start: "a"\nstart: "b"', "defined twice"),
        ('start[lazy]: "a"', "attributes are not supported"),
        ('start: "a" : "b"', "a ':' was not expected"),
        ('"a"\nstart: "b"', "before the first rule"),
        ('start: "a"{}', "no count of repetitions"),
        ('start: "a"{,}', "no count of repetitions"),
        ('start: "a"{3,2}', "at most"),
        ('start: "a"{20000}', "at most"),
        ('start: "\\q"', "is no string"),
    ],
)
def test_what_rules_cannot_have_is_refused(compiler: Compiler, grammar: str, told: str) -> None:
    with pytest.raises(GrammarError, match=re.escape(told)):
        compiler.compile(Lark(grammar))
