from __future__ import annotations

import pytest

from ragstack.errors import ConfigError
from ragstack.index.analysis import PLAIN, Analysis

ANALYSIS = Analysis(("en", "fr"))


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("en", "Two houses are building", "house builds"),
        ("fr", "les élèves mangés", "l'eleve manges"),
        ("fr", "L’été, aujourd'hui", "ete aujourd hui"),
        ("fr", "jusqu'à l'œuvre", "oeuvres"),
        ("en", "ﬁnancial cafe\u0301s", "financial café"),
        ("en", "loadIndex", "loadindex load index load_index"),
        ("en", "load_index", "loadindex load index loadIndex"),
        ("en", "an HTTPServer", "httpserver http server"),
        ("", "東京タワー", "京 東京 タワー"),
        ("", "Häuser", "hauser"),
    ],
)
def test_text_holds_the_terms_of_the_query(language: str, text: str, query: str) -> None:
    assert set(ANALYSIS.terms(text, language)) >= set(ANALYSIS.terms(query, language)) != set()


def test_elision_takes_only_what_stands_before_a_word() -> None:
    assert ANALYSIS.terms("vitamine d, l'eau d'ici", "fr") == ["vitamin", "d", "eau", "ici"]
    assert ANALYSIS.terms("rock 'n' roll d'Artagnan", "en")[-2:] == ["d", "artagnan"]


def test_any_text_is_cut() -> None:
    for text in ("", "\x00", "\ud800", "a\ud800b", "😀", "_" * 9, "A" * 100_000, "aB" * 50_000):
        for language in ("en", "fr", PLAIN):
            assert isinstance(ANALYSIS.terms(text, language), list)
        assert isinstance(ANALYSIS.words(text, {"en", "fr", PLAIN}), list)


def test_language_of_a_text() -> None:
    named = ["en", "fr", "FR", "fr-CA", "fr_FR", "de", "french", None, "", 3]
    assert [ANALYSIS.language(name) for name in named] == [
        *("en", "fr", "fr", "fr", "fr", PLAIN, PLAIN, "en", "en", "en")
    ]
    assert Analysis(("de", "en")).language(None) == "de"


def test_stop_words_of_the_language_of_the_query() -> None:
    both = {"en", "fr"}
    assert [word[0] for word in ANALYSIS.words("What is the price of the car?", both)] == [
        *("price", "car")
    ]
    assert [word[0] for word in ANALYSIS.words("Quel est le prix de l'or ?", both)] == ["prix"]
    assert ANALYSIS.words("prix or", {"en"}) == [("prix",)]


def test_query_of_stop_words_alone_is_kept() -> None:
    assert ANALYSIS.words("To be or not to be", {"en"}) == [
        *(("to",), ("be",), ("or",), ("not",), ("to",), ("be",))
    ]


def test_word_stands_for_its_form_in_each_language() -> None:
    (word,) = ANALYSIS.words("chanson", {"en", "fr", PLAIN})
    assert word == ("chanson",)
    (word,) = ANALYSIS.words("international", {"en", "fr", PLAIN})
    assert word == ("international", "internat")
    assert ANALYSIS.words("zzz", {"en", "fr", PLAIN}) == [("zzz",)]


@pytest.mark.parametrize("languages", [(), ("xx",), "en", ("en", "klingon")])
def test_unknown_languages_are_refused(languages: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="cannot stem"):
        Analysis(languages)
