"""Who waits gets its turn: interactive first, and no client before another's share."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ragstack.engine.waiting import Priority, Waiting


def _drain(waiting: Waiting[str]) -> list[str]:
    found = []
    while (item := waiting.take(lambda _: True)) is not None:
        found.append(item)
    return found


def _put(
    waiting: Waiting[str],
    item: str,
    *,
    priority: Priority = "interactive",
    client: str = "",
    work: float = 1.0,
) -> None:
    waiting.put(item, priority=priority, client=client, work=work)


def test_first_come_first_served_within_a_client() -> None:
    waiting: Waiting[str] = Waiting()
    for item in "abc":
        _put(waiting, item)
    assert list(waiting) == ["a", "b", "c"]
    assert _drain(waiting) == ["a", "b", "c"]
    assert len(waiting) == 0


def test_interactive_comes_first() -> None:
    waiting: Waiting[str] = Waiting()
    _put(waiting, "slow", priority="background")
    _put(waiting, "quick")
    assert _drain(waiting) == ["quick", "slow"]


def test_who_sends_many_does_not_hold_up_who_sends_one() -> None:
    waiting: Waiting[str] = Waiting()
    for number in range(5):
        _put(waiting, f"many{number}", client="many")
    _put(waiting, "one", client="one")
    assert _drain(waiting)[:3] == ["many0", "one", "many1"]


def test_one_that_does_not_fit_holds_the_line_unless_it_waits_for_its_own() -> None:
    waiting: Waiting[str] = Waiting()
    for item in "ab":
        _put(waiting, item)
    assert waiting.take(lambda item: item != "a") is None
    assert waiting.take(lambda item: None if item == "a" else True) == "b"
    assert waiting.remove(lambda item: item == "a") == ["a"]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.floats(0.1, 9.0)), max_size=40))
def test_everyone_is_served_once_and_shares_stay_even(puts: list[tuple[str, float]]) -> None:
    waiting: Waiting[tuple[str, float]] = Waiting()
    for client, work in puts:
        waiting.put((client, work), priority="interactive", client=client, work=work)
    served: Counter[str] = Counter()
    left = Counter(client for client, _ in puts)
    found = []
    while (item := waiting.take(lambda _: True)) is not None:
        found.append(item)
        client, work = item
        served[client] += work
        left[client] -= 1
        # Of those that still wait, none is further behind than one request of each is long.
        behind = [served[other] for other in left if left[other] > 0]
        assert not behind or max(served[client] - work - least for least in behind) <= 9.0 + 1e-6
    assert sorted(found) == sorted(puts)
