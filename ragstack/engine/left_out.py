"""A prompt and stretches of it in, the jobs that score an answer without each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.engine.guard import check_spans
from ragstack.engine.jobs import Scoring
from ragstack.engine.kinds import kind_of, require_ability
from ragstack.engine.tiles import Tiles, tiles_of
from ragstack.engine.worker import Worker
from ragstack.errors import InputError
from ragstack.types import Span

__all__ = ["LeftOut", "left_out"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What ``Engine.leave_out`` was asked."""

    prompt: Sequence[int]
    spans: Sequence[Span]
    answer: Sequence[int]
    exact: bool


def left_out(worker: Worker, asked: LeftOut, *, at_once: int) -> list[tuple[Scoring, Tiles]]:
    """Return a job for the whole prompt and one for each stretch, each with its images.

    Raises:
        As ``Engine.leave_out``.
    """
    prompt, answer = asked.prompt, asked.answer
    worker.model.vocabulary.check(answer)
    tiles = tiles_of(worker, prompt, len(answer))
    check_spans(asked.spans, len(prompt))
    _check_whole(asked.spans, tiles)
    if not asked.exact and not worker.context.can_cut:
        require_ability(kind_of(worker.model.header), "rollback")
    at_once = min(at_once, worker.context.limits.outputs)
    jobs = [(Scoring(list(prompt), [answer], at_once=at_once), tiles)]
    for start, end in asked.spans:
        rest = [*prompt[:start], *prompt[end:]] if asked.exact else list(prompt)
        hole = None if asked.exact else (start, end)
        seen = tiles_of(worker, rest, len(answer)) if asked.exact and tiles else tiles
        jobs.append((Scoring(rest, [answer], at_once=at_once, hole=hole), seen))
    return jobs


def _check_whole(spans: Sequence[Span], tiles: Tiles) -> None:
    for start, end in spans:
        for at, tile in tiles:
            if any(at < edge < at + len(tile.ids) for edge in (start, end)):
                raise InputError(f"the stretch {start} to {end} is part of an image, expected all")
