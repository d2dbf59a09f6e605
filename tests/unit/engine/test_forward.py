"""A text read once, with the logits after every token: the same as the engine's own context."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context
from ragstack.engine.tools.forward import Forward
from ragstack.errors import ContextOverflow, InputError, ModelError

TOKENS = [5, 40, 7, 100, 101, 8, 9, 10, 11, 12, 40, 41]


@pytest.fixture(scope="module")
def forward(tiny_path: Path) -> Iterator[Forward]:
    with Forward(tiny_path, window=64, threads=1, batch=5) as opened:
        yield opened


def test_rows_are_those_of_the_context(forward: Forward, tiny_context: Context) -> None:
    rows = [row.copy() for row in forward.rows(TOKENS)]
    assert len(rows) == len(TOKENS)
    tiny_context.decode([Piece(0, 0, TOKENS, rows=len(TOKENS))])
    for i, row in enumerate(rows):
        np.testing.assert_allclose(row, tiny_context.logits(i), atol=0.05)


def test_each_reading_begins_anew(forward: Forward) -> None:
    first = [row.copy() for row in forward.rows(TOKENS)]
    next(forward.rows(TOKENS[3:]))  # left half read
    second = [row.copy() for row in forward.rows(TOKENS)]
    np.testing.assert_array_equal(first, second)


def test_speed_is_of_reading_and_of_writing(forward: Forward) -> None:
    prefill, decode = forward.speed(TOKENS, written=3)
    assert prefill > 0.0
    assert decode > 0.0


def test_what_llama_cpp_would_die_of_is_refused(forward: Forward, tiny_path: Path) -> None:
    for tokens in ([10**9], [-1]):
        with pytest.raises(InputError):
            list(forward.rows(tokens))
    with pytest.raises(InputError):
        list(forward.rows([]))
    with pytest.raises(ContextOverflow):
        list(forward.rows([1] * 65))
    with pytest.raises(ContextOverflow):
        forward.speed([1] * 60, written=5)
    with pytest.raises(InputError):
        Forward(tiny_path, window=0)


def test_it_closes_twice(tiny_path: Path) -> None:
    opened = Forward(tiny_path, window=64)
    opened.close()
    opened.close()
    with pytest.raises(ModelError):
        _ = opened.model.handle
