"""A guess is what stood after the same tokens before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragstack.engine.drafts import Drafter


def test_what_followed_before_is_guessed() -> None:
    drafter = Drafter()
    drafter.extend([1, 2, 3, 4, 5, 6, 9, 1, 2, 3])
    assert drafter.belief() > 0
    assert drafter.guess(3) == [4, 5, 6]
    assert drafter.guess(0) == []


def test_the_latest_place_and_the_longest_agreement_count() -> None:
    drafter = Drafter()
    drafter.extend([1, 2, 3, 7, 8, 1, 2, 3, 5, 5, 1, 2, 3])
    assert drafter.guess(1) == [5]
    longer = Drafter()
    longer.extend([*range(10), 20, 5, 6, 7, 8, 9, 30, *range(10)])
    assert longer.guess(1) == [20]


def test_nothing_agrees_nothing_is_guessed() -> None:
    drafter = Drafter()
    drafter.extend([1, 2, 3, 4])
    assert drafter.guess(5) == []
    assert drafter.belief() == 0.0


def test_belief_follows_success() -> None:
    drafter = Drafter()
    drafter.extend([1, 2, 3, 4, 1, 2, 3])
    before = drafter.belief()
    drafter.guess(4)
    drafter.learn(4, 0)
    assert drafter.belief() < before
    for _ in range(20):
        drafter.guess(4)
        drafter.learn(4, 4)
    assert drafter.belief() > 0.9
    assert (drafter.guessed, drafter.right) == (84, 80)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 12))
def test_a_guess_is_a_piece_of_what_was_seen(tokens: list[int], most: int) -> None:
    drafter = Drafter()
    drafter.extend(tokens)
    guess = drafter.guess(most)
    assert len(guess) <= most
    if guess:
        places = range(len(tokens) - len(guess) + 1)
        assert any(tokens[i : i + len(guess)] == guess for i in places)
        assert any(tokens[i - 3 : i] == tokens[-3:] for i in places if i >= 3)
