from __future__ import annotations

import threading

import pytest

from ragstack.errors import RateLimited
from ragstack_apps.accounts import limits
from ragstack_apps.accounts.limits import Answering, Rate


class Seconds:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_bucket_empties_and_fills() -> None:
    seconds = Seconds()
    rate = Rate(60, clock=seconds)
    for _ in range(60):
        rate.take("a")
    with pytest.raises(RateLimited) as refused:
        rate.take("a")
    assert refused.value.retry_s == pytest.approx(1)
    rate.take("b")
    seconds.at = 2.5
    rate.take("a")
    rate.take("a")
    with pytest.raises(RateLimited) as refused:
        rate.take("a")
    assert refused.value.retry_s == pytest.approx(0.5)


def test_a_bucket_never_overflows() -> None:
    seconds = Seconds()
    rate = Rate(2, clock=seconds)
    rate.take("a")
    seconds.at = 1e6
    rate.take("a")
    rate.take("a")
    with pytest.raises(RateLimited):
        rate.take("a")


def test_no_limit() -> None:
    rate = Rate(0)
    for _ in range(1000):
        rate.take("a")


def test_names_are_forgotten_in_the_order_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST", 2)
    rate = Rate(1, clock=Seconds())
    for name in "abc":
        rate.take(name)
    rate.take("a")  # forgotten, so full again
    with pytest.raises(RateLimited):
        rate.take("c")


def test_requests_of_many_threads_are_counted_once_each() -> None:
    rate, passed = Rate(100, clock=Seconds()), []

    def ask() -> None:
        for _ in range(50):
            try:
                rate.take("a")
            except RateLimited:
                continue
            passed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 100


def test_answers_at_once() -> None:
    answering = Answering(2)
    for name in "aab":
        answering.begin(name)
    with pytest.raises(RateLimited):
        answering.begin("a")
    for name in "aab":
        answering.end(name)
    with answering.one("a"):
        pass
    with Answering(0).one("a"):
        pass
