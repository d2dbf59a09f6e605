"""A context: what it has read is not read again, and it reads the same however it is fed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragstack.engine.context import Context, Options
from ragstack.engine.model import Model
from ragstack.errors import GenerationError, InputError, ModelError

_TOKENS = [72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100] * 7


def _fresh(model: Model, tokens: list[int]) -> np.ndarray:  # type: ignore[type-arg]
    context = Context(model, Options(size=256, batch=128, threads=1))
    context.read(tokens)
    logits = context.logits().copy()
    context.close()
    return logits


def test_what_is_read_is_kept(tiny_context: Context) -> None:
    assert tiny_context.read(_TOKENS) == (0, True)
    assert tiny_context.tokens == _TOKENS
    assert tiny_context.read([*_TOKENS, 5, 6]) == (len(_TOKENS), True)
    assert tiny_context.read(_TOKENS[:20]) == (19, True)  # the last one is read for its logits
    assert tiny_context.tokens == _TOKENS[:20]
    assert tiny_context.read([1, 2, 3]) == (0, True)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=60), min_size=1, max_size=6))
def test_a_kept_prefix_changes_nothing(
    tiny_model: Model, tiny_context: Context, prompts: list[list[int]]
) -> None:
    """Whatever was read before, the logits are those of a fresh context."""
    for prompt in prompts:
        tiny_context.read(prompt)
    expected = _fresh(tiny_model, prompts[-1])
    assert np.abs(tiny_context.logits() - expected).max() < 0.05
    assert tiny_context.tokens == prompts[-1]


def test_logits_of_several_rows(tiny_model: Model, tiny_context: Context) -> None:
    tiny_context.decode(_TOKENS[:8], rows=[3, 7])
    third = tiny_context.logits(3).copy()
    assert np.abs(third - _fresh(tiny_model, _TOKENS[:4])).max() < 0.05
    assert np.array_equal(tiny_context.logits(7), tiny_context.logits(-1))
    with pytest.raises(GenerationError, match="no logits for row 5"):
        tiny_context.logits(5)


def test_reading_can_be_stopped_and_goes_on(tiny_model: Model, tiny_context: Context) -> None:
    answers = iter([True, False])
    cached, whole = tiny_context.read(_TOKENS, keep_going=lambda: next(answers))
    assert (cached, whole) == (0, False)
    assert tiny_context.tokens == _TOKENS[:32]
    assert tiny_context.read(_TOKENS) == (32, True)
    assert np.abs(tiny_context.logits() - _fresh(tiny_model, _TOKENS)).max() < 0.05


@pytest.mark.parametrize(
    ("tokens", "rows"),
    [([], []), ([1] * 33, []), ([-1], []), ([273], []), ([2**31], [])],
)
def test_what_llama_would_die_of_is_refused(
    tiny_context: Context, tokens: list[int], rows: list[int]
) -> None:
    with pytest.raises(InputError):
        tiny_context.decode(tokens, rows=rows)
    assert tiny_context.read([1, 2]) == (0, True)


def test_a_full_window_is_an_error_and_not_the_end(tiny_context: Context) -> None:
    for _ in range(8):
        tiny_context.decode([1] * 32, rows=[])
    with pytest.raises(GenerationError, match=r"llama\.cpp stopped"):
        tiny_context.decode([1], rows=[])
    assert tiny_context.tokens == []
    assert tiny_context.read([1, 2]) == (0, True)


@pytest.mark.parametrize("options", [Options(size=0), Options(size=-1), Options(size=2**32)])
def test_impossible_sizes_are_refused(tiny_model: Model, options: Options) -> None:
    with pytest.raises(InputError):
        Context(tiny_model, options)


def test_a_closed_context_says_so(tiny_model: Model) -> None:
    context = Context(tiny_model, Options(size=64, batch=32, threads=1))
    context.close()
    context.close()
    with pytest.raises(GenerationError, match="closed"):
        context.read([1])


def test_a_closed_model_says_so(tiny_path) -> None:  # type: ignore[no-untyped-def]
    model = Model(tiny_path)
    model.close()
    model.close()
    with pytest.raises(ModelError, match="closed"):
        _ = model.bytes
