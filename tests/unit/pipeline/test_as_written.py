from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.pipeline.as_written import as_written

PASSAGE = "L'université est un établissement privé. On y paie en yuans ; il a coûté 1 200 yuans."


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ("privée", "privé"),
        ("yuan", "yuans"),
        ("1200 yuan", "1 200 yuans"),
        ("un établissement privée", "un établissement privé"),
        ("UN ÉTABLISSEMENT PRIVÉ.", "UN ÉTABLISSEMENT PRIVÉ."),
        ("un établissement public", "un établissement public"),
        ("", ""),
        ("?", "?"),
    ],
)
def test_endings_are_those_of_the_passage(answer: str, written: str) -> None:
    assert as_written(answer, ["Rien.", PASSAGE]) == written


def test_the_first_passage_that_has_it_counts() -> None:
    assert as_written("dukes of Normandy", ["The duke of Normandy.", "Duke of Normandy"]) == (
        "duke of Normandy"
    )


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
def test_it_is_the_answer_or_stands_in_a_passage(answer: str, passages: list[str]) -> None:
    written = as_written(answer, passages)
    assert written == answer or any(written in passage for passage in passages)
