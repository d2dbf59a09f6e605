"""Every expected number here is worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.errors import InputError
from ragstack_evals.answers import answer_tokens, best_over, contained, exact_match, token_f1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  Eiffel Tower!", ["eiffel", "tower"]),
        ("U.S. Congress", ["us", "congress"]),
        ("well-known", ["wellknown"]),
        ("An “answer” – of a kind…", ["answer", "of", "kind"]),
        ("$5,000", ["$5000"]),
        ("1 234", ["1", "234"]),
        ("the a an", []),
    ],
)
def test_english_words(text: str, words: list[str]) -> None:
    # "$" is in string.punctuation, so SQuAD's own script drops it too.
    expected = [word.replace("$", "") for word in words]
    assert answer_tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L'Église de la Cité", ["église", "de", "cité"]),
        ("l’eau", ["eau"]),
        ("d'or", ["d", "or"]),
        ("« aujourd'hui »", ["aujourdhui"]),
        ("les années 1990", ["années", "1990"]),
        ("100 000 habitants.", ["100", "000", "habitants"]),
        ("qu'il va jusqu'au bout", ["qu", "il", "va", "jusqu", "bout"]),
        ("cafe\u0301", ["café"]),
    ],
)
def test_french_words(text: str, words: list[str]) -> None:
    assert answer_tokens(text, language="fr") == words


def test_accents_tell_words_apart() -> None:
    assert exact_match("côte", "cote", language="fr") == 0.0


def test_articles_are_of_their_language() -> None:
    assert answer_tokens("la the", language="en") == ["la"]
    assert answer_tokens("la the", language="fr") == ["the"]


def test_token_f1_worked_example() -> None:
    # prediction: {in, 10th, century}; gold: {10th, and, 11th, centuries}; 1 shared: 2 * 1 / (3 + 4)
    assert token_f1("in the 10th century", "10th and 11th centuries") == pytest.approx(2 / 7)


def test_token_f1_counts_repeated_words_as_often_as_both_have_them() -> None:
    # prediction: new new york (3), gold: new york new york (4), shared: new 2, york 1
    assert token_f1("new new york", "New York, New York") == pytest.approx(6 / 7)


def test_token_f1_without_words_follows_squad2() -> None:
    assert token_f1("", "") == 1.0
    assert token_f1("the", "France") == 0.0
    assert token_f1("France", "the") == 0.0


def test_exact_match_ignores_case_articles_and_punctuation() -> None:
    assert exact_match("The Normans.", "normans") == 1.0
    assert exact_match("Normans of France", "Normans") == 0.0


def test_contained_wants_whole_words_in_order() -> None:
    assert contained("It was in France, then.", "France") == 1.0
    assert contained("Frances", "France") == 0.0
    assert contained("York New", "New York") == 0.0
    assert contained("anything", "the") == 0.0


def test_best_over_takes_the_best_gold_and_zero_for_none() -> None:
    assert best_over(token_f1, "10th century", ["x", "the 10th century"], language="en") == 1.0
    assert best_over(token_f1, "anything", [], language="en") == 0.0


def test_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="'de'"):
        answer_tokens("der Hund", language="de")


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["en", "fr"]))
def test_f1_is_symmetric_bounded_and_one_for_equal(left: str, right: str, language: str) -> None:
    value = token_f1(left, right, language=language)
    assert 0.0 <= value <= 1.0
    assert value == token_f1(right, left, language=language)
    assert token_f1(left, left, language=language) == 1.0
    assert value >= exact_match(left, right, language=language)
