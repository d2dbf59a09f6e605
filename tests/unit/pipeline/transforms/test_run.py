from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from ragstack import Chunk, Passage
from ragstack.errors import GenerationError, InputError
from ragstack.filters import Eq, Filter
from ragstack.pipeline.transforms.desk import WorkingDesk
from ragstack.pipeline.transforms.run import Found, Run
from ragstack.protocols import Desk, Plan, Query, Review

MakeDesk = Callable[..., WorkingDesk]


def passage(name: str, score: float = 1.0) -> Passage:
    return Passage(Chunk(name, "0" * 8, 0, 4, "text"), score, name, {"weighted": score})


class Adds:
    """A transform that adds queries."""

    def __init__(self, *queries: Query, then: tuple[str, ...] = ()) -> None:
        self.queries = queries
        self.then = then

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        return replace(plan, queries=(*plan.queries, *self.queries), then=self.then)


class Wishes:
    """A reviewer that wishes for a search, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def review(self, plan: Plan, passages: Sequence[Passage], desk: Desk, *, step: int) -> Review:
        if step == self.times:
            return Review(verdict="abstain")
        return Review((Query(f"more {step}"),))


class Turns:
    """An arranger that turns the order round."""

    def arrange(self, plan: Plan, passages: Sequence[Passage], desk: Desk) -> list[Passage]:
        return list(reversed(passages))


class Searches:
    """What each query finds; remembers what it was asked."""

    def __init__(self, **found: str) -> None:
        self.found = found
        self.asked: list[tuple[str, int, Filter | None]] = []

    def __call__(
        self, queries: Sequence[Query], k: int, where: Filter | None
    ) -> list[list[Passage]]:
        self.asked += [(query.text, k, where) for query in queries]
        return [
            [passage(name) for name in self.found.get(query.text.replace(" ", "_"), "")][:k]
            for query in queries
        ]


def run(make_desk: MakeDesk, search: Searches, transforms: dict[str, object], k: int = 3) -> Found:
    made = Run(lambda name: transforms[name], search, make_desk()._around)
    return made.find("who", list(transforms), k=k)


def names(found: Found) -> str:
    return "".join(one.source for one in found.passages)


def test_without_transforms_a_search_is_what_it_was(make_desk: MakeDesk) -> None:
    search = Searches(who="abcd")
    found = run(make_desk, search, {})
    assert names(found) == "abc"
    assert found.passages[0].trail == {"weighted": 1.0}
    assert search.asked == [("who", 3, None)]
    assert [step.name for step in found.trace] == ["search"]


def test_rankings_are_fused_and_the_trail_tells_who_found_what(make_desk: MakeDesk) -> None:
    search = Searches(who="ab", x="cb")
    found = run(make_desk, search, {"adds": Adds(Query("x", "other", weight=0.5))})
    assert names(found) == "bac"
    trail = found.passages[0].trail
    assert (trail["query.question"], trail["query.other"]) == (2.0, 2.0)
    assert trail["queries"] == pytest.approx(1 / 12 + 0.5 / 12)
    assert "query.question" not in found.passages[2].trail
    assert [step.name for step in found.trace] == ["adds", "search", "fuse"]
    assert found.trace[0].produced == ("other: x",)


def test_labels_are_told_apart_and_queries_bounded(make_desk: MakeDesk) -> None:
    search = Searches(who="a")
    many = Adds(*(Query(f"q{number}", "same") for number in range(100)))
    found = run(make_desk, search, {"adds": many})
    labels = [query.label for query in found.plan.queries]
    assert len(labels) == len(set(labels)) == 24
    assert len(search.asked) == 24


def test_a_transform_may_lead_to_another_but_not_to_itself(make_desk: MakeDesk) -> None:
    search = Searches(who="a")
    first = Adds(Query("x", "x"), then=("second", "first"))
    transforms = {"first": first, "second": Adds(Query("y", "y"), then=("first", "second"))}
    made = Run(lambda name: transforms[name], search, make_desk()._around)
    found = made.find("who", ["first"], k=3)
    assert [query.text for query in found.plan.queries] == ["who", "x", "y"]


def test_the_condition_of_a_plan_reaches_every_search(make_desk: MakeDesk) -> None:
    class Narrows:
        def plan(self, plan: Plan, desk: Desk) -> Plan:
            return replace(plan, where=Eq("year", 2020))

    search = Searches(who="a", more_0="b")
    run(make_desk, search, {"narrows": Narrows(), "wishes": Wishes(1)})
    assert {where for _, _, where in search.asked} == {Eq("year", 2020)}


def test_a_reviewer_gets_its_searches_and_the_last_word(make_desk: MakeDesk) -> None:
    search = Searches(who="ab", more_0="c", more_1="c")
    found = run(make_desk, search, {"wishes": Wishes(2)})
    assert found.verdict == "abstain"
    assert names(found)[0] == "c"
    assert [text for text, _, _ in search.asked] == ["who", "more 0", "more 1"]


def test_a_reviewer_without_end_is_ended(make_desk: MakeDesk) -> None:
    with pytest.raises(GenerationError, match="rounds"):
        run(make_desk, Searches(who="a"), {"wishes": Wishes(1_000)})


def test_an_arranger_has_more_candidates_and_adds_none(make_desk: MakeDesk) -> None:
    search = Searches(who="abcdefgh")
    found = run(make_desk, search, {"turns": Turns()}, k=2)
    assert names(found) == "fe"

    class Invents(Turns):
        def arrange(self, plan: Plan, passages: Sequence[Passage], desk: Desk) -> list[Passage]:
            return [passage("new")]

    with pytest.raises(InputError, match="not found"):
        run(make_desk, search, {"invents": Invents()})


def test_a_reply_ends_it_before_the_search(make_desk: MakeDesk) -> None:
    class Replies:
        def plan(self, plan: Plan, desk: Desk) -> Plan:
            return replace(plan, reply="Hello.")

    search = Searches(who="a")
    found = run(make_desk, search, {"replies": Replies()})
    assert (found.passages, found.plan.reply, search.asked) == ((), "Hello.", [])


def test_what_is_no_transform_is_refused(make_desk: MakeDesk) -> None:
    with pytest.raises(InputError, match="no transform"):
        run(make_desk, Searches(), {"thing": object()})
