"""A prompt and stretches of it in, the jobs that score an answer without each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.engine.guard import check_spans
from ragstack.engine.jobs import Scoring
from ragstack.engine.kinds import kind_of, require_ability
from ragstack.engine.tiles import tiles_of
from ragstack.engine.worker import Worker
from ragstack.types import Span

__all__ = ["LeftOut", "left_out"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What ``Engine.leave_out`` was asked."""

    prompt: Sequence[int]
    spans: Sequence[Span]
    answer: Sequence[int]
    exact: bool


def left_out(worker: Worker, asked: LeftOut, *, at_once: int) -> list[Scoring]:
    """Return a job for the whole prompt and one for each stretch; errors as ``leave_out``."""
    prompt, answer = asked.prompt, asked.answer
    worker.model.vocabulary.check(answer)
    tiles_of(worker, prompt, len(answer))
    check_spans(asked.spans, len(prompt))
    if not asked.exact and not worker.context.can_cut:
        require_ability(kind_of(worker.model.header), "rollback")
    at_once = min(at_once, worker.context.limits.outputs)
    jobs = [Scoring(list(prompt), [answer], at_once=at_once)]
    for start, end in asked.spans:
        rest = [*prompt[:start], *prompt[end:]] if asked.exact else list(prompt)
        hole = None if asked.exact else (start, end)
        jobs.append(Scoring(rest, [answer], at_once=at_once, hole=hole))
    return jobs
