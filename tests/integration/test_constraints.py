"""A thousand random schemas, a real vocabulary, random logits: valid JSON within the budget."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from ragstack import models
from ragstack.engine.grammar import Compiler
from ragstack.engine.library import llama, start
from ragstack.engine.vocabulary import Vocabulary
from ragstack.errors import GrammarError
from ragstack.testing.schemas import problems, random_schema
from ragstack.types import JsonSchema

pytestmark = pytest.mark.integration

_SCHEMAS = 1_000
_PART = 50


@pytest.fixture(scope="module")
def vocabulary() -> Iterator[Vocabulary]:
    path = models.path("smollm2-135m-instruct", pull=True)
    start()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    handle = llama.llama_model_load_from_file(str(path).encode(), parameters)
    vocabulary = Vocabulary(llama.llama_model_get_vocab(handle))
    yield vocabulary
    vocabulary.close()
    llama.llama_model_free(handle)


@pytest.fixture(scope="module")
def compiler(vocabulary: Vocabulary) -> Compiler:
    return Compiler(vocabulary)


@pytest.mark.parametrize("first", range(0, _SCHEMAS, _PART))
def test_structured_output_is_always_valid(
    vocabulary: Vocabulary, compiler: Compiler, first: int
) -> None:
    for seed in range(first, first + _PART):
        schema = random_schema(seed)
        budget = (200, 60, 25)[seed % 3]
        text = _drawn(vocabulary, compiler, schema, seed, budget)
        found = problems(json.loads(text), schema, schema)
        assert not found, (seed, schema, text, found)


def _drawn(
    vocabulary: Vocabulary, compiler: Compiler, schema: dict[str, object], seed: int, budget: int
) -> str:
    try:
        constraint = compiler.compile(JsonSchema(schema), budget)
    except GrammarError as refused:
        assert f"max_tokens is {budget}" in refused.message, (seed, schema, refused)
        budget = int(refused.message.split(" tokens,")[0].rpartition(" ")[2])
        constraint = compiler.compile(JsonSchema(schema), budget)  # with what it asked for
    random = np.random.default_rng(seed)
    tokens: list[int] = []
    while not constraint.complete and len(tokens) < budget:
        # As peaked as a model's, so that no one token has every draw.
        logits = constraint.mask(random.normal(0, 5, vocabulary.size).astype(np.float32))
        token = int(np.argmax(logits))
        assert np.isfinite(logits[token]), (seed, schema, vocabulary.detokenize(tokens))
        if token in vocabulary.ends:
            return vocabulary.detokenize(tokens)
        constraint.accept(token)
        tokens.append(token)
    assert constraint.accepting, (seed, schema, vocabulary.detokenize(tokens))
    return vocabulary.detokenize(tokens)
