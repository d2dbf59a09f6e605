"""How well a text is foretold, against numbers worked out by hand and by other formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragstack.engine.tools.perplexity import Rows, agreement, likelihood
from ragstack.errors import GenerationError, InputError

Table = NDArray[np.float32]


def bigram(table: Table) -> Rows:
    """Return a model that looks at the last token alone."""

    def rows(tokens: Sequence[int]) -> Iterator[Table]:
        for token in tokens:
            yield table[token]

    return rows


def random_table(seed: int, size: int = 7) -> Table:
    return np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32) * 3


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary() -> None:
    found = likelihood(bigram(np.zeros((8, 8), np.float32)), [1, 2, 3, 4, 5], characters=10)
    assert found.perplexity == pytest.approx(8.0)
    assert found.tokens == 4
    assert found.characters == pytest.approx(8.0)  # the first token's share is left out
    assert found.bits_per_character == pytest.approx(4 * 3 / 8)


def test_a_model_that_knows_the_text_is_not_perplexed() -> None:
    table = np.full((4, 4), -1000, np.float32)
    for token in range(4):
        table[token, (token + 1) % 4] = 1000
    found = likelihood(bigram(table), [1, 2, 3], characters=3, begin=0)
    assert found.perplexity == pytest.approx(1.0)
    assert found.tokens == 3
    assert found.characters == 3
    other = likelihood(bigram(table), [1, 3, 2], characters=3, begin=0)
    assert other.perplexity > 1e200  # and no overflow


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(2, 9))
def test_pieces_with_a_beginning_score_every_token(tokens: list[int], window: int) -> None:
    table = random_table(1)
    found = likelihood(bigram(table), tokens, characters=len(tokens), begin=0, window=window)
    logs = table - np.log(np.exp(table.astype(np.float64)).sum(axis=1, keepdims=True))
    step = window - 1
    befores = [0 if i % step == 0 else tokens[i - 1] for i in range(len(tokens))]
    expected = -sum(logs[before, token] for before, token in zip(befores, tokens, strict=True))
    assert found.tokens == len(tokens)
    assert found.nats == pytest.approx(expected, rel=1e-5)


def test_a_model_agrees_with_itself() -> None:
    table = random_table(2)
    tokens = [1, 2, 3, 4, 5, 6, 0, 1]
    found = agreement(bigram(table), bigram(table), tokens, characters=8)
    assert found.divergence == 0.0
    assert found.top_1 == 1.0
    assert found.first == found.second == likelihood(bigram(table), tokens, characters=8)


def test_divergence_is_the_textbook_one() -> None:
    first, second = random_table(3), random_table(4)
    tokens = [1, 2, 3, 4, 5, 6, 0, 1]
    found = agreement(bigram(first), bigram(second), tokens, characters=8, begin=0, window=4)
    read = [0, 1, 2, 0, 4, 5, 0, 0]  # what stands before each token, in pieces of three
    p = np.exp(first[read].astype(np.float64))
    q = np.exp(second[read].astype(np.float64))
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    assert found.divergence == pytest.approx(float((p * np.log(p / q)).sum(axis=1).mean()))
    assert found.top_1 == float((p.argmax(axis=1) == q.argmax(axis=1)).mean())
    assert found.second == likelihood(bigram(second), tokens, characters=8, begin=0, window=4)


def test_forbidden_tokens_are_borne() -> None:
    first, second = random_table(3), random_table(4)
    first[:, 2], second[:, 3] = -np.inf, -np.inf
    found = agreement(bigram(first), bigram(second), [1, 0, 1], characters=3)
    assert math.isfinite(found.divergence)
    assert found.divergence > 1.0


def test_what_cannot_be_scored_is_refused() -> None:
    table = random_table(1)
    with pytest.raises(InputError, match="nothing to foretell"):
        likelihood(bigram(table), [1], characters=1)
    with pytest.raises(InputError, match="window is 1"):
        likelihood(bigram(table), [1, 2], characters=2, window=1)
    with pytest.raises(GenerationError, match="too few rows"):
        likelihood(lambda _: iter(()), [1, 2], characters=2)
    with pytest.raises(GenerationError, match="finite"):
        likelihood(bigram(np.full((3, 3), np.nan, np.float32)), [1, 2], characters=2)
    with pytest.raises(InputError, match="vocabularies have 7 and 9"):
        agreement(bigram(table), bigram(random_table(1, 9)), [1, 2], characters=2)
