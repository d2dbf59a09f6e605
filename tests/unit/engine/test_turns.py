"""Reading and writing take turns where one step of both would cost more than two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.costs import Costs
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.entry import Entry
from ragstack.engine.jobs import Scoring
from ragstack.engine.scheduler import Scheduler
from ragstack.types import Sampling

_QUIET = Manner(speculate=False)
_BLOCK = 64  # of llama.cpp as it comes


def _steps(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    late: int,
    alike: int | None = None,
    manner: Manner = _QUIET,
) -> list[list[Piece]]:
    """Return the steps taken from when a late prompt is asked for beside one that writes.

    Args:
        manner: Of the one that writes.
    """
    steps: list[list[Piece]] = []
    decode = Context.decode

    def seen(context: Context, pieces: Sequence[Piece]) -> bool:
        if alike is not None:
            context.alike = alike
        steps.append(list(pieces))
        return decode(context, pieces)

    monkeypatch.setattr(Context, "decode", seen)
    options = Options(size=1024, cells=2048, batch=256, threads=1, streams=4, kept=4)
    engine = Engine(path, options)
    try:
        on = dict.fromkeys(engine.model.vocabulary.ends, float("-inf"))
        sampling = Sampling(max_tokens=900, logit_bias=on)
        writer = engine.generate(Request((65, 66), sampling, manner=manner))
        next(writer)
        steps.clear()
        prompt = tuple(70 + n % 20 for n in range(late))
        assert list(engine.generate(Request(prompt, Sampling(max_tokens=2), manner=_QUIET)))
        writer.close()
    finally:
        engine.close()
    return steps


def _kinds(steps: list[list[Piece]], late: int) -> str:
    """Return a letter for each step until the late prompt is read: writes, reads, both."""
    found, left = "", late
    for pieces in steps:
        read = sum(len(piece.tokens) for piece in pieces if len(piece.tokens) > 1)
        wrote = any(len(piece.tokens) == 1 for piece in pieces)
        found += "b" if read and wrote else "r" if read else "w"
        left -= read
        if left <= 1:
            return found
    return found


def test_a_long_prompt_and_those_who_write_take_turns(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _steps(tiny_path, monkeypatch, late=700, alike=_BLOCK)
    kinds = _kinds(steps, 700).lstrip("w")
    assert "b" not in kinds
    assert "rr" not in kinds and "ww" not in kinds and kinds.count("r") > 1


def test_who_writes_in_the_background_waits_until_all_is_read(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = Manner(speculate=False, priority="background")
    steps = _steps(tiny_path, monkeypatch, late=700, alike=_BLOCK, manner=quiet)
    kinds = _kinds(steps, 700).lstrip("w")
    assert set(kinds) == {"r"} and len(kinds) > 1


def test_a_short_prompt_joins_those_who_write(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _steps(tiny_path, monkeypatch, late=20, alike=_BLOCK)
    assert _kinds(steps, 20).lstrip("w") == "b"


def test_where_a_step_costs_the_same_they_share_it(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = _kinds(_steps(tiny_path, monkeypatch, late=700, alike=10_000), 700).lstrip("w")
    assert set(kinds) == {"b"}


def test_a_small_step_asks_for_no_more_than_a_batch(tiny_context: Context) -> None:
    scheduler = Scheduler(tiny_context, streams=2, costs=Costs())
    writer, reader = (Entry(Scoring([1], [[2]], at_once=1), lambda _error: None) for _ in range(2))
    writer.pending, reader.pending = [1] * 32, [1] * 5  # the batch is of 32
    assert scheduler._in_turns([writer], [reader])[2] == 32
