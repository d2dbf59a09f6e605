"""A constrained text ends within its budget, and what cannot is refused with numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ragstack.engine.grammar import Compiler
from ragstack.engine.vocabulary import Vocabulary
from ragstack.errors import GrammarError
from ragstack.testing.schemas import problems, random_schema
from ragstack.types import Grammar, JsonSchema, Lark, Quoted, Regex


@pytest.fixture(scope="module")
def compiler(tiny_vocabulary: Vocabulary) -> Compiler:
    return Compiler(tiny_vocabulary)


def _rambled(compiler: Compiler, vocabulary: Vocabulary, grammar: Grammar, budget: int) -> str:
    constraint = compiler.compile(grammar, budget)
    random = np.random.default_rng(budget)
    tokens: list[int] = []
    while not constraint.complete and len(tokens) < budget:
        logits = random.normal(0, 5, vocabulary.size).astype(np.float32)
        logits[list(vocabulary.ends)] = -50  # it never wants to stop
        token = int(np.argmax(constraint.mask(logits)))
        if token in vocabulary.ends:
            break
        constraint.accept(token)
        tokens.append(token)
    assert constraint.accepting
    return vocabulary.detokenize(tokens)


@pytest.mark.parametrize("seed", range(40))
def test_random_schemas_close(tiny_vocabulary: Vocabulary, compiler: Compiler, seed: int) -> None:
    schema = random_schema(seed)
    value = json.loads(_rambled(compiler, tiny_vocabulary, JsonSchema(schema), 400 + seed))
    assert not problems(value, schema, schema)


@pytest.mark.parametrize("grammar", [Regex("(ab)+c"), Lark('start: "(" start ")" | "x"')])
@pytest.mark.parametrize("budget", [5, 12, 31])
def test_other_grammars_close(
    tiny_vocabulary: Vocabulary, compiler: Compiler, grammar: Grammar, budget: int
) -> None:
    assert _rambled(compiler, tiny_vocabulary, grammar, budget)


def test_quotes_are_spans_of_whole_words(tiny_vocabulary: Vocabulary, compiler: Compiler) -> None:
    passage = "The roof is\nours; it costs 12.5 in all."
    text = _rambled(compiler, tiny_vocabulary, Quoted((passage,)), 120)
    quote = text.split("\n")[0]
    assert quote.startswith("> ")
    assert quote[2:] in " ".join(passage.split())


def test_a_budget_too_small_is_refused_with_numbers(compiler: Compiler) -> None:
    with pytest.raises(GrammarError, match=r"takes \d+ tokens, and max_tokens is 1"):
        compiler.compile(JsonSchema({"type": "object", "required": ["abcdefgh"]}), 1)


def test_a_keyword_is_refused_by_its_path(compiler: Compiler) -> None:
    schema = {"type": "object", "properties": {"a/b": {"type": "string", "not": {}}}}
    with pytest.raises(GrammarError, match="#/properties/a~1b/not"):
        compiler.compile(JsonSchema(schema), 50)
