from __future__ import annotations

import pytest

from ragstack.documents.language import detect_language, language_code
from ragstack.documents.meta import checked, iso_date, typed
from ragstack.errors import BrokenDocument


@pytest.mark.parametrize(
    ("said", "iso"),
    [
        ("2024-05-06", "2024-05-06"),
        ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09+00:00"),
        ("2023-09-13T14:02:34.367419807", "2023-09-13T14:02:34.367419"),
        ("D:20240103093826+01'00'", "2024-01-03T09:38:26+01:00"),
        ("D:20240927002118Z00'00'", "2024-09-27T00:21:18+00:00"),
        ("D:2024", "2024-01-01"),
        ("D:20241399", None),
        ("Tue, 01 Oct 2024 12:34:56 -0500", "2024-10-01T12:34:56-05:00"),
        ("2024", "2024"),
        ("2024-05", "2024-05"),
        ("2024/5/6", "2024-05-06"),
        ("2024-05-06 and more", "2024-05-06"),
        ("6 May 2024", "2024-05-06"),
        ("May 6, 2024", "2024-05-06"),
        ("06/05/2024", "2024-05-06"),
        ("2024-13-45", None),
        ("INVALID", None),
        ("99999999999", None),
        ("", None),
    ],
)
def test_dates_become_iso(said: str, iso: str | None) -> None:
    assert iso_date(said) == iso


def test_typed_keeps_what_is_of_use() -> None:
    found = typed(title=" A \n ti\u00adtle ", author="", date="yesterday", language="French", n=3)
    assert found == {"title": "A title", "language": "fr", "n": 3}


@pytest.mark.parametrize("value", [["a"], {"a": 1}, b"x", float("nan"), float("inf")])
def test_what_is_no_scalar_is_refused(value: object) -> None:
    with pytest.raises(BrokenDocument, match="'tags'"):
        checked({"tags": value}, "a")


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ("en-GB", "en"),
        ("fr_FR.UTF-8", "fr"),
        ("eng", "en"),
        ("Français", "fr"),
        ("DE", "de"),
        ("iw", "he"),
        ("", None),
        ("x-klingon", None),
        ("tlh", None),
        ("12", None),
    ],
)
def test_declared_languages_are_two_letters(declared: str, code: str | None) -> None:
    assert language_code(declared) == code


def test_languages_are_detected() -> None:
    english = "The house by the river was sold last year, and nobody knows who lives there now."
    french = "La maison au bord de la rivière a été vendue l'an dernier, et personne n'y habite."
    assert detect_language(english) == "en"
    assert detect_language(french) == "fr"
    assert detect_language("Où est-il ?", among=("en", "fr")) == "fr"


@pytest.mark.parametrize("text", ["", "Bonjour", "1 | 2 | 3 |" * 50, "https://example.org/a " * 9])
def test_too_little_text_has_no_language(text: str) -> None:
    assert detect_language(text) is None
