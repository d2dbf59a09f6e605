"""Transforms and a way to search in, passages and the trace of how they were found out.

Plans, searches, fuses by reciprocal ranks, lets reviewers ask for more, lets arrangers have the
last word. Knows no index, no catalog and no generator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ragstack.errors import GenerationError, InputError
from ragstack.filters import Filter
from ragstack.index.fusion import reciprocal_rank
from ragstack.pipeline.seen import Fate, Seen
from ragstack.pipeline.transforms.desk import Circumstances, WorkingDesk
from ragstack.protocols import Arranger, Plan, Query, Reviewer, Transform, Verdict
from ragstack.types import Hit, Passage, TraceStep, Usage

__all__ = ["Found", "Run", "Searching"]

Searching = Callable[[Sequence[Query], int, Filter | None], list[list[Passage]]]
"""Queries, how many passages for each, the plan's condition in; a ranking for each out."""

_CONSTANT = 10
"""Of the fusion of queries. With 60, as of indexes, standing in a second list outweighs every rank,
and a helper of a query drowns the question itself (measured, docs/LOG.md)."""

_MOST_QUERIES = 24  # of one question, all transforms together
_MOST_STEPS = 8  # of one reviewer, whatever it wishes for
_DEEPER = 2  # candidates of each query for a passage wanted, where several are fused
_LEAST = 20
_TO_ARRANGE = 3  # candidates an arranger has for a passage wanted


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a question.

    Attributes:
        plan: What was searched in the end; ``plan.question`` is what is to be answered.
        verdict: A reviewer's; empty where none had one.
        text: What is asked back.
        trace: What was done, in order.
        told: What whoever reads the answer should know.
    """

    passages: tuple[Passage, ...]
    plan: Plan
    verdict: Verdict = ""
    text: str = ""
    trace: tuple[TraceStep, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def usage(self) -> Usage:
        """What generators took for it."""
        return sum((step.usage for step in self.trace), Usage())


@dataclass
class Run:
    """One question on its way to its passages.

    Attributes:
        make: Returns the transform of a name.
        search: Searches.
        around: What transforms work with.
        seen: Told of what is fused and of what is left out.
    """

    make: Callable[[str], object]
    search: Searching
    around: Circumstances
    seen: Seen | None = None
    _trace: list[TraceStep] = field(default_factory=list)
    _told: list[str] = field(default_factory=list)
    _rankings: dict[str, list[Passage]] = field(default_factory=dict)

    def find(self, question: str, names: Sequence[str], *, k: int) -> Found:
        """Return what is found for a question.

        Args:
            names: Transforms, in order; those that they add come after them.
            k: Passages wanted, unless the plan says how many.
        """
        plan, made = self._planned(Plan(question, (Query(question),)), names)
        if plan.reply:
            return self._found((), plan)
        wanted = plan.k or k
        deeper = wanted * _TO_ARRANGE if any(isinstance(m, Arranger) for _, m in made) else wanted
        self._searched(plan, plan.queries, deeper)
        passages = self._fused(plan, deeper)
        verdict: Verdict = ""
        text = ""
        for name, transform in made:
            if isinstance(transform, Reviewer):
                plan, passages, verdict, text = self._reviewed(
                    name, transform, plan, passages, deeper
                )
            if isinstance(transform, Arranger):
                passages = self._arranged(name, transform, plan, passages)
        return replace(self._found(tuple(passages[:wanted]), plan), verdict=verdict, text=text)

    def _planned(self, plan: Plan, names: Sequence[str]) -> tuple[Plan, list[tuple[str, object]]]:
        made: list[tuple[str, object]] = []
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name in dict(made):
                continue
            transform = self.make(name)
            if not isinstance(transform, Transform | Reviewer | Arranger):
                raise InputError(f"{name!r} is no transform: it has no plan, review or arrange")
            made.append((name, transform))
            if isinstance(transform, Transform):
                plan = self._one(name, transform, plan)
                waiting += plan.then
                plan = replace(plan, then=())
        return plan, made

    def _one(self, name: str, transform: Transform, plan: Plan) -> Plan:
        desk, begun = WorkingDesk(self.around), time.perf_counter()
        after = transform.plan(plan, desk)
        after = replace(after, queries=_told_apart(after.queries)[:_MOST_QUERIES])
        self._step(name, (*desk.notes, *_changes(plan, after)), begun, desk)
        return after

    def _searched(self, plan: Plan, queries: Sequence[Query], wanted: int) -> None:
        begun = time.perf_counter()
        alone = len(plan.queries) == 1
        each = wanted if alone else max(_DEEPER * wanted, _LEAST)
        for query, passages in zip(queries, self.search(queries, each, plan.where), strict=True):
            self._rankings[query.label] = passages
        counts = tuple(
            f"{query.label}: {len(self._rankings[query.label])} found" for query in queries
        )
        self._step("search", counts, begun)

    def _fused(self, plan: Plan, wanted: int) -> list[Passage]:
        if len(self._rankings) == 1:
            (only,) = self._rankings.values()
            return only[:wanted]
        begun = time.perf_counter()
        weights = {query.label: query.weight for query in plan.queries}
        fused = _fuse(self._rankings, weights)
        passages = fused[:wanted]
        if self.seen is not None:
            self.seen.note(fused, Fate.RANKED, f"behind the best {wanted} of all queries")
        self._step("fuse", (f"{len(self._rankings)} rankings by reciprocal rank",), begun)
        return passages

    def _reviewed(
        self, name: str, reviewer: Reviewer, plan: Plan, passages: list[Passage], wanted: int
    ) -> tuple[Plan, list[Passage], Verdict, str]:
        for step in range(_MOST_STEPS):
            desk, begun = WorkingDesk(self.around), time.perf_counter()
            review = reviewer.review(plan, passages, desk, step=step)
            queries = _told_apart((*plan.queries, *review.queries))[:_MOST_QUERIES]
            new = queries[len(plan.queries) :]
            lines = (*desk.notes, *map(_shown, new))
            verdict = (f"verdict: {review.verdict}",) if review.verdict else ()
            self._step(name, (*lines, *verdict), begun, desk)
            if not new:
                return plan, passages, review.verdict, review.text
            plan = replace(plan, queries=queries)
            self._searched(plan, new, wanted)
            passages = self._fused(plan, wanted)
        raise GenerationError(f"{name!r} wished for more than {_MOST_STEPS} rounds of searching")

    def _arranged(
        self, name: str, arranger: Arranger, plan: Plan, passages: list[Passage]
    ) -> list[Passage]:
        desk, begun = WorkingDesk(self.around), time.perf_counter()
        arranged = arranger.arrange(plan, passages, desk)
        unknown = {p.chunk.id for p in arranged} - {p.chunk.id for p in passages}
        if unknown:
            raise InputError(f"{name!r} arranged passages that were not found: {sorted(unknown)}")
        if self.seen is not None:
            left = {passage.chunk.id for passage in arranged}
            dropped = [passage for passage in passages if passage.chunk.id not in left]
            self.seen.note(dropped, Fate.RANKED, f"left out by {name}")
        lines = (*desk.notes, f"{len(arranged)} of {len(passages)} kept")
        self._step(name, lines, begun, desk)
        return arranged

    def _step(
        self, name: str, lines: Sequence[str], begun: float, desk: WorkingDesk | None = None
    ) -> None:
        usage = desk.usage if desk else Usage()
        seconds = time.perf_counter() - begun
        self._trace.append(TraceStep(name, tuple(lines), seconds, usage))
        self._told += desk.told if desk else []

    def _found(self, passages: tuple[Passage, ...], plan: Plan) -> Found:
        return Found(passages, plan, trace=tuple(self._trace), told=tuple(self._told))


def _fuse(rankings: Mapping[str, Sequence[Passage]], weights: Mapping[str, float]) -> list[Passage]:
    """Return all passages by reciprocal rank, the trail telling the rank in each query."""
    held: dict[str, Passage] = {}
    ranks: dict[str, dict[str, float]] = {}
    for label, passages in rankings.items():
        for rank, passage in enumerate(passages, start=1):
            # The question's own scores come first; another query's only where it found more.
            held.setdefault(passage.chunk.id, passage)
            ranks.setdefault(passage.chunk.id, {})[f"query.{label}"] = float(rank)
    hits = reciprocal_rank(
        {label: [Hit(p.chunk.id, p.score) for p in ranking] for label, ranking in rankings.items()},
        constant=_CONSTANT,
        weights={label: weights[label] for label in rankings},
    )
    fused = []
    for hit in hits:
        passage = held[hit.chunk_id]
        trail = {**passage.trail, **ranks[hit.chunk_id], "queries": hit.score}
        fused.append(replace(passage, score=hit.score, trail=trail))
    return fused


def _told_apart(queries: Sequence[Query]) -> tuple[Query, ...]:
    """Return the queries with labels that differ."""
    seen: set[str] = set()
    apart = []
    for query in queries:
        label, number = query.label, 2
        while label in seen:
            label, number = f"{query.label}#{number}", number + 1
        seen.add(label)
        apart.append(replace(query, label=label))
    return tuple(apart)


def _changes(before: Plan, after: Plan) -> list[str]:
    """Return what a transform did to a plan, a line each."""
    lines = []
    if after.question != before.question:
        lines.append(f"question: {after.question}")
    lines += [_shown(query) for query in after.queries if query not in before.queries]
    for name in ("where", "k", "style", "generator", "then", "reply"):
        value = getattr(after, name)
        if value != getattr(before, name):
            lines.append(f"{name}: {value}")
    return lines or ["nothing to add"]


def _shown(query: Query) -> str:
    where = f" in {', '.join(query.indexes)}" if query.indexes else ""
    return f"{query.label}{where}: {query.text[:400]}"
