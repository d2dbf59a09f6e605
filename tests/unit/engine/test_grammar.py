"""Grammars: what comes out is always in them, and what cannot be enforced is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack.engine.grammar import Compiler, Constraint
from ragstack.engine.vocabulary import Detokenizer, Vocabulary
from ragstack.errors import GrammarError
from ragstack.types import Grammar, JsonSchema, Lark, Quote, Regex


@pytest.fixture(scope="module")
def compiler(tiny_vocabulary: Vocabulary) -> Compiler:
    return Compiler(tiny_vocabulary)


def _drawn(
    vocabulary: Vocabulary, constraint: Constraint, seed: int, most: int = 400
) -> str | None:
    """Return a random text of the grammar, None where it does not close in so many tokens."""
    random = np.random.default_rng(seed)
    text = Detokenizer(vocabulary)
    shown = ""
    for _ in range(most):
        logits = constraint.mask(random.standard_normal(vocabulary.size).astype(np.float32))
        allowed = np.flatnonzero(np.isfinite(logits))
        assert allowed.size
        token = int(random.choice(allowed))
        if token in vocabulary.ends:
            return shown + text.flush()
        constraint.accept(token)
        shown += text.push(token)
        if constraint.complete:
            return shown + text.flush()
    return None


_SCHEMAS = st.recursive(
    st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.builds(
            lambda a: {"type": "integer", "minimum": a, "maximum": a + 50}, st.integers(0, 99)
        ),
        st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 5)),
        st.builds(lambda v: {"enum": v}, st.lists(st.text(max_size=5), min_size=1, max_size=3)),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda item, n: {"type": "array", "items": item, "minItems": n, "maxItems": n + 1},
            inner,
            st.integers(0, 2),
        ),
        st.builds(
            lambda fields: {
                "type": "object",
                "properties": fields,
                "required": sorted(fields),
                "additionalProperties": False,
            },
            st.dictionaries(st.text("abcé", min_size=1, max_size=3), inner, max_size=3),
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=60)
@given(schema=_SCHEMAS, seed=st.integers(0, 2**32))
def test_json_always_parses(
    tiny_vocabulary: Vocabulary, compiler: Compiler, schema: dict[str, object], seed: int
) -> None:
    text = _drawn(tiny_vocabulary, compiler.compile(JsonSchema(schema)), seed)
    assert text is not None
    _check(json.loads(text), schema)


def _check(value: object, schema: dict[str, object]) -> None:
    if "enum" in schema:
        assert value in schema["enum"]  # type: ignore[operator]
        return
    kinds = {"boolean": bool, "null": type(None), "integer": int, "string": str}
    kinds |= {"array": list, "object": dict}
    assert isinstance(value, kinds[str(schema["type"])])
    if isinstance(value, dict):
        assert sorted(value) == schema["required"]
        for key, inner in schema["properties"].items():  # type: ignore[attr-defined]
            _check(value[key], inner)
    elif isinstance(value, list):
        assert schema["minItems"] <= len(value) <= schema["maxItems"]  # type: ignore[operator]
        for item in value:
            _check(item, schema["items"])  # type: ignore[arg-type]
    elif isinstance(value, str):
        assert len(value) <= schema["maxLength"]  # type: ignore[operator]
    elif isinstance(value, int) and schema["type"] == "integer":
        assert schema["minimum"] <= value <= schema["maximum"]  # type: ignore[operator]


@pytest.mark.parametrize("pattern", ["(yes|no), [0-9]{2}", "é{2,4}", "a(b|c)*d"])
@pytest.mark.parametrize("seed", range(5))
def test_a_regex_matches_from_end_to_end(
    tiny_vocabulary: Vocabulary, compiler: Compiler, pattern: str, seed: int
) -> None:
    text = _drawn(tiny_vocabulary, compiler.compile(Regex(pattern)), seed)
    assert text is not None
    assert re.fullmatch(pattern, text)


_PASSAGES = (
    'He said: "the roof\\n is ours", and <|im_start|> left.\nThe end.',
    "Le château d’eau coûte 12 € ; 🎉 la fête.",
)


@pytest.mark.parametrize("seed", range(30))
def test_a_quote_is_a_span_of_a_passage(
    tiny_vocabulary: Vocabulary, compiler: Compiler, seed: int
) -> None:
    text = _drawn(tiny_vocabulary, compiler.compile(Quote(_PASSAGES)), seed)
    assert text is not None
    assert any(text in passage for passage in _PASSAGES)


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=3), st.integers(0, 2**32))
def test_any_passage_can_be_quoted(
    tiny_vocabulary: Vocabulary, compiler: Compiler, passages: list[str], seed: int
) -> None:
    text = _drawn(tiny_vocabulary, compiler.compile(Quote(tuple(passages))), seed)
    assert text is not None
    assert any(text in passage for passage in passages)


@pytest.mark.parametrize(
    "grammar",
    [
        Regex("(unclosed"),
        Regex("a{2,1}"),
        Lark("start: nothing"),
        Lark("no start"),
        Lark(""),
        JsonSchema({"type": "odd"}),
        JsonSchema({"type": "object", "properties": {"a": {"$ref": "#/none"}}}),
        JsonSchema({"type": "string", "pattern": "("}),
        JsonSchema({"type": "string", "contentEncoding": "base64", "not": {"const": "a"}}),
        JsonSchema({"type": "string", "default": b"bytes"}),
        Quote(()),
        Quote(("", "")),
    ],
)
def test_what_cannot_be_enforced_is_refused(compiler: Compiler, grammar: Grammar) -> None:
    with pytest.raises(GrammarError) as caught:
        compiler.compile(grammar)
    assert "\n" not in caught.value.message


def test_a_forbidden_token_is_refused(tiny_vocabulary: Vocabulary, compiler: Compiler) -> None:
    constraint = compiler.compile(Regex("yes"))
    with pytest.raises(GrammarError, match="does not allow"):
        constraint.accept(tiny_vocabulary.tokenize("n")[0])


def test_a_grammar_says_where_it_may_end(tiny_vocabulary: Vocabulary, compiler: Compiler) -> None:
    constraint = compiler.compile(Regex("ab*"))
    assert not constraint.accepting
    constraint.accept(tiny_vocabulary.tokenize("a")[0])
    assert constraint.accepting
    assert not constraint.complete


def test_masking_leaves_the_logits_alone(tiny_vocabulary: Vocabulary, compiler: Compiler) -> None:
    logits = np.zeros(tiny_vocabulary.size, np.float32)
    masked = compiler.compile(Regex("yes")).mask(logits)
    assert not logits.any()
    assert np.isfinite(masked).sum() == 1


def test_marks_are_no_text(tiny_vocabulary: Vocabulary, compiler: Compiler) -> None:
    """A grammar of any text lets no control token through but the end."""
    masked = compiler.compile(Lark("start: /(?s:.*)/")).mask(
        np.zeros(tiny_vocabulary.size, np.float32)
    )
    allowed = set(np.flatnonzero(np.isfinite(masked)).tolist())
    assert {t for t in allowed if tiny_vocabulary.is_mark(t)} <= set(tiny_vocabulary.ends)


@pytest.mark.parametrize("grammar", [Regex("yes|no"), Regex("(?s:.*)"), Regex("[^aeiou]{3,9}")])
def test_a_mask_is_that_of_the_bits(
    tiny_vocabulary: Vocabulary, compiler: Compiler, grammar: Regex
) -> None:
    """Few tokens allowed, nearly all, and the steps in between give what the bits say."""
    constraint = compiler.compile(grammar)
    random = np.random.default_rng(0)
    for _ in range(4):
        logits = random.normal(0.0, 3.0, tiny_vocabulary.size).astype(np.float32)
        bits = np.frombuffer(constraint._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little").view(bool)
        masked = constraint.mask(logits)
        np.testing.assert_array_equal(masked, np.where(allowed, logits, -np.inf))
        token = int(masked.argmax())
        if token in tiny_vocabulary.ends or constraint.complete:
            break
        constraint.accept(token)
