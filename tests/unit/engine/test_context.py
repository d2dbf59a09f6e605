"""A context: sequences share what they have in common, and read the same however they are fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.model import Model
from ragstack.errors import GenerationError, InputError, ModelError

_TOKENS = [72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100] * 2


def _fresh(model: Model, tokens: list[int]) -> np.ndarray:  # type: ignore[type-arg]
    context = Context(model, Options(size=256, batch=128, threads=1))
    assert context.decode([Piece(0, 0, tokens, rows=1)])
    logits = context.logits(len(tokens) - 1).copy()
    context.close()
    return logits


def test_sequences_in_one_step_are_as_alone(tiny_model: Model, tiny_context: Context) -> None:
    pieces = [Piece(2, 0, _TOKENS[:9], rows=2), Piece(0, 0, _TOKENS[3:15], rows=1)]
    assert tiny_context.decode(pieces)
    for row, tokens in ((7, _TOKENS[:8]), (8, _TOKENS[:9]), (20, _TOKENS[3:15])):
        assert np.abs(tiny_context.logits(row) - _fresh(tiny_model, tokens)).max() < 0.05
    with pytest.raises(GenerationError, match="no logits for row 5"):
        tiny_context.logits(5)


def test_a_copy_begins_where_the_other_was(tiny_model: Model, tiny_context: Context) -> None:
    tiny_context.decode([Piece(0, 0, _TOKENS)])
    tiny_context.copy(0, 1, 10)
    tiny_context.decode([Piece(1, 10, [5, 6], rows=1), Piece(0, len(_TOKENS), [7], rows=1)])
    expected = _fresh(tiny_model, [*_TOKENS[:10], 5, 6])
    assert np.abs(tiny_context.logits(1) - expected).max() < 0.05
    assert np.abs(tiny_context.logits(2) - _fresh(tiny_model, [*_TOKENS, 7])).max() < 0.05


def test_a_state_comes_back_also_from_memory_that_held_another(
    tiny_model: Model, tiny_context: Context
) -> None:
    tiny_context.decode([Piece(0, 0, _TOKENS[:14]), Piece(1, 0, _TOKENS[3:12])])
    whole = tiny_context.state(0)
    grown = tiny_context.state(0, tiny_context.state(1))  # which is too small for it
    assert bytes(grown) == bytes(whole)
    small = bytes(tiny_context.state(1))
    again = tiny_context.state(1, grown)
    assert bytes(again) == small and len(small) < len(whole)
    assert isinstance(again, memoryview) and again.obj is grown.obj
    assert bytes(tiny_context.state(1, bytes(len(whole)))) == small  # which is not to be changed
    large = memoryview(bytearray(10_000_000))  # which would be held for little
    assert tiny_context.state(1, large).obj is not large.obj  # type: ignore[union-attr]
    for state, tokens in ((again, _TOKENS[3:12]), (whole, _TOKENS[:14])):
        assert tiny_context.cut(2, 0) and tiny_context.restore(2, state, len(tokens))
        assert tiny_context.decode([Piece(2, len(tokens), [7], rows=1)])
        expected = _fresh(tiny_model, [*tokens, 7])
        assert np.abs(tiny_context.logits(0) - expected).max() < 0.05


def test_a_cut_forgets_the_rest(tiny_model: Model, tiny_context: Context) -> None:
    tiny_context.decode([Piece(3, 0, _TOKENS)])
    assert tiny_context.cut(3, 4)
    tiny_context.decode([Piece(3, 4, [9, 8], rows=1)])
    assert np.abs(tiny_context.logits(1) - _fresh(tiny_model, [*_TOKENS[:4], 9, 8])).max() < 0.05


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [Piece(0, 0, [])],
        [Piece(0, 0, [1] * 33)],
        [Piece(0, 0, [1] * 20), Piece(1, 0, [1] * 20)],
        [Piece(0, 0, [-1])],
        [Piece(0, 0, [273])],
        [Piece(0, 0, [2**31])],
        [Piece(0, 0, [1], rows=2)],
        [Piece(0, 0, [1]), Piece(0, 1, [1])],
        [Piece(0, 256, [1])],
        [Piece(0, -1, [1])],
    ],
)
def test_what_llama_would_die_of_is_refused(tiny_context: Context, pieces: list[Piece]) -> None:
    with pytest.raises(InputError):
        tiny_context.decode(pieces)
    assert tiny_context.decode([Piece(0, 0, [1, 2])])


@pytest.mark.parametrize("sequence", [-1, 32, 1000])
def test_sequences_out_of_range_are_refused(tiny_context: Context, sequence: int) -> None:
    for call in (
        lambda: tiny_context.decode([Piece(sequence, 0, [1])]),
        lambda: tiny_context.copy(0, sequence, 1),
        lambda: tiny_context.copy(sequence, 0, 1),
        lambda: tiny_context.cut(sequence, 0),
    ):
        with pytest.raises(GenerationError, match="no sequence"):
            call()


def test_a_full_cache_is_told_and_changes_nothing(tiny_context: Context) -> None:
    for number in range(8):
        assert tiny_context.decode([Piece(number, 0, [1] * 32)])
    assert not tiny_context.decode([Piece(9, 0, [1])])
    tiny_context.cut(3, 0)
    assert tiny_context.decode([Piece(9, 0, [1])])


@pytest.mark.parametrize(
    "options",
    [
        Options(size=0),
        Options(size=-1),
        Options(size=2**32),
        Options(size=64, streams=300),
        Options(size=64, outputs=8),
    ],
)
def test_impossible_sizes_are_refused(tiny_model: Model, options: Options) -> None:
    with pytest.raises(InputError):
        Context(tiny_model, options)


def test_a_closed_context_says_so(tiny_model: Model) -> None:
    context = Context(tiny_model, Options(size=64, batch=32, threads=1))
    context.close()
    context.close()
    with pytest.raises(GenerationError, match="closed"):
        context.decode([Piece(0, 0, [1])])


def test_a_closed_model_says_so(tiny_path: Path) -> None:
    model = Model(tiny_path)
    model.close()
    model.close()
    with pytest.raises(ModelError, match="closed"):
        _ = model.bytes
