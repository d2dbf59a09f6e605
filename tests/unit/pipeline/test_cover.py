from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.pipeline.cover import around_answer, in_one_passage

PASSAGES = [
    "The lighthouse was finished in 1871. Its keeper was Anna Lund. She lived there until 1902.",
    "The mill stands by the river. Its flour is sold in the village.",
]


@pytest.mark.parametrize(
    ("question", "share"),
    [
        ("Who kept the lighthouse?", 1 / 2),
        ("Is the flour of the mill sold?", 1.0),
        ("Did the keeper sell flour?", 1 / 3),  # not both in one passage, and forms differ
        ("Where do whales sleep?", 0.0),
        ("What is it?", 1.0),  # asks about nothing that could be missing
    ],
)
def test_the_best_passage_counts(question: str, share: float) -> None:
    assert in_one_passage(question, PASSAGES) == pytest.approx(share)


def test_no_passages_hold_nothing() -> None:
    assert in_one_passage("Who kept the lighthouse?", []) == 0.0


def test_near_is_the_sentence_and_its_neighbours() -> None:
    question = "When was the lighthouse finished?"
    assert around_answer(question, "1871", PASSAGES) == 1.0
    assert around_answer(question, "anna lund", PASSAGES) == 1.0
    assert around_answer(question, "1902", PASSAGES) == 0.0
    assert around_answer(question, "1999", PASSAGES) == 0.0
    assert around_answer(question, "", PASSAGES) == 0.0


def test_french_forms_and_accents() -> None:
    passages = ["Les élèves n’ont qu’un été. L’école ferme en juillet."]
    assert in_one_passage("Quand ferme l'ecole des élèves ?", passages) == 1.0
    assert around_answer("Quand ferme l'ecole ?", "juillet", passages) == 1.0


@given(st.text(max_size=80), st.text(max_size=20), st.lists(st.text(max_size=120), max_size=4))
def test_a_share_is_a_share(question: str, answer: str, passages: list[str]) -> None:
    assert 0.0 <= in_one_passage(question, passages) <= 1.0
    assert 0.0 <= around_answer(question, answer, passages) <= 1.0
