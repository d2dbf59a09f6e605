from __future__ import annotations

import pytest

from ragstack.pipeline.words import (
    content_words,
    fold,
    language_of,
    numbers,
    place_in_order,
    words,
)


def forms(text: str) -> list[str]:
    return [word.form for word in words(text)]


def test_words_fold_case_accents_plurals_and_elisions() -> None:
    assert forms("L'Été des chevaux, d’Œuvres") == ["ete", "des", "cheval", "oeuvre"]
    assert forms("The dog's cities") == ["the", "dog", "city"]


def test_words_carry_their_spans() -> None:
    text = "l'accord de 1 200,5 euros"
    found = {word.form: text[slice(*word.span)] for word in words(text)}
    assert found["accord"] == "accord"
    assert found["1200.5"] == "1 200,5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12,000 men", ["12000"]),
        ("12 000 hommes", ["12000"]),
        ("12\u00a0000 hommes", ["12000"]),
        ("3.14 and 3,14", ["3.14", "3.14"]),
        ("1,234,567.5", ["1234567.5"]),
        ("in 1984, 12 came", ["1984", "12"]),
        ("none", []),
    ],
)
def test_numbers_have_one_form(text: str, expected: list[str]) -> None:
    assert numbers(text) == expected


def test_small_numbers_in_words_are_digits() -> None:
    assert forms("ten years, dix mois") == ["10", "year", "10", "moi"]


def test_content_words_leave_out_function_words_of_both_languages() -> None:
    assert [w.form for w in content_words("Who was the king of France?")] == ["king", "france"]
    assert [w.form for w in content_words("Qui était le roi de France ?")] == ["roi", "france"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("When was the treaty signed?", "en"),
        ("Quand le traité a-t-il été signé ?", "fr"),
        ("Qu'est-ce que l'immunité ?", "fr"),
        ("What does « liberté » mean?", "en"),
        ("12345", "en"),
    ],
)
def test_language_of_questions(text: str, language: str) -> None:
    assert language_of(text) == language


def test_language_of_nothing_is_the_default() -> None:
    assert language_of("Paris ?", default="fr") == "fr"


def test_place_in_order() -> None:
    assert place_in_order(["b", "c"], ["a", "b", "c"]) == 1
    assert place_in_order(["b", "c"], ("b", "b", "c", "b", "c")) == 1
    assert place_in_order(["c", "b"], ["a", "b", "c"]) is None
    assert place_in_order([], ["a"]) is None


def test_fold_is_idempotent() -> None:
    assert fold(fold("Œuvre À l’ÉTÉ")) == fold("Œuvre À l’ÉTÉ") == "oeuvre a l'ete"
