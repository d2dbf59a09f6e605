"""An answer's probability without part of its prompt: by forgetting it, and by rereading."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.sampling import log_probability
from ragstack.errors import Cancelled, DeadlineExceeded, InputError, UnsupportedCapability
from ragstack.types import Sampling

_PROMPT = [(7 * i) % 250 for i in range(90)]
_ANSWER = [11, 12, 13, 14]
_SPANS = [(5, 25), (25, 60), (80, 88)]


def _sums(rows: list[list[float]]) -> list[float]:
    return [sum(row) for row in rows]


def test_the_first_row_is_the_whole_prompt(tiny_engine: Engine) -> None:
    rows = tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER)
    assert [len(row) for row in rows] == [4] * 4
    assert rows[0] == pytest.approx(tiny_engine.score(_PROMPT, [_ANSWER])[0], abs=0.02)
    assert len({round(total, 3) for total in _sums(rows)}) == 4


def test_exact_is_the_prompt_without_it(tiny_engine: Engine) -> None:
    rows = tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER, exact=True)
    for (start, end), row in zip(_SPANS, rows[1:], strict=True):
        rest = _PROMPT[:start] + _PROMPT[end:]
        assert row == pytest.approx(tiny_engine.score(rest, [_ANSWER])[0], abs=0.02)


def test_forgetting_is_what_llama_does_when_told_by_hand(
    tiny_engine: Engine, tiny_context: Context
) -> None:
    start, end = _SPANS[1]
    row = tiny_engine.leave_out(_PROMPT, [(start, end)], _ANSWER)[1]
    for at in range(0, 89, 30):
        tiny_context.decode([Piece(0, at, _PROMPT[at : min(at + 30, 89)])])
    assert tiny_context.drop(0, start, end)
    tiny_context.decode([Piece(0, 89, [_PROMPT[-1], *_ANSWER[:-1]], rows=4)])
    expected = [log_probability(tiny_context.logits(i), t) for i, t in enumerate(_ANSWER)]
    assert row == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("exact", [False, True])
def test_what_was_read_serves_as_before(tiny_engine: Engine, exact: bool) -> None:
    request = Request(tuple(_PROMPT), Sampling(max_tokens=12))
    before = list(tiny_engine.generate(request))
    tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER, exact=exact)
    generation = tiny_engine.generate(request)
    assert list(generation) == before
    assert generation.cached == len(_PROMPT) - 1
    assert tiny_engine.stats().active == 0


def test_nobody_begins_with_a_prompt_that_has_a_hole(tiny_path: Path) -> None:
    # One sequence is kept, so that those with a hole are the latest that were read.
    with_holes = Engine(tiny_path, Options(size=512, batch=32, threads=1, kept=1, streams=1))
    fresh = Engine(tiny_path, Options(size=512, batch=32, threads=1))
    try:
        with_holes.leave_out(_PROMPT, _SPANS, _ANSWER)
        scores = with_holes.score(_PROMPT, [_ANSWER])[0]
        assert scores == pytest.approx(fresh.score(_PROMPT, [_ANSWER])[0], abs=0.02)
        rows = with_holes.leave_out(_PROMPT, _SPANS, _ANSWER)
        np.testing.assert_allclose(rows, fresh.leave_out(_PROMPT, _SPANS, _ANSWER), atol=0.02)
    finally:
        with_holes.close()
        fresh.close()


def test_side_by_side_with_others(tiny_engine: Engine) -> None:
    expected = tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER)
    found: list[list[list[float]]] = []
    texts: list[list[int]] = []
    request = Request(tuple(_PROMPT[:40]), Sampling(max_tokens=30))
    alone = list(tiny_engine.generate(request))
    threads = [
        threading.Thread(
            target=lambda: found.append(tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER))
        )
        for _ in range(3)
    ] + [threading.Thread(target=lambda: texts.append(list(tiny_engine.generate(request))))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [alone]
    for rows in found:
        np.testing.assert_allclose(rows, expected, atol=0.02)


def test_one_that_is_given_up_frees_its_sequences(tiny_engine: Engine) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER, manner=Manner(cancel=cancel))
    with pytest.raises(DeadlineExceeded):
        tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER, manner=Manner(deadline_s=0.0))
    stats = tiny_engine.stats()
    assert (stats.active, stats.waiting) == (0, 0)
    assert len(tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER)) == 4


@pytest.mark.parametrize("span", [(-1, 4), (4, 4), (10, 5), (80, 89)])
def test_a_stretch_out_of_range_is_refused(tiny_engine: Engine, span: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="left out"):
        tiny_engine.leave_out(_PROMPT, [span], _ANSWER)


def test_nothing_left_out_is_one_row(tiny_engine: Engine) -> None:
    assert len(tiny_engine.leave_out(_PROMPT, [], _ANSWER)) == 1


def test_a_model_that_cannot_forget_says_so(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_engine._worker.context, "can_cut", False)
    with pytest.raises(UnsupportedCapability):
        tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER)
    assert len(tiny_engine.leave_out(_PROMPT, _SPANS, _ANSWER, exact=True)) == 4
