from __future__ import annotations

import pytest

from ragstack.index.analysers.numbers import number, ordinal
from ragstack.index.analysers.parts import parts
from ragstack.index.analysis import AnalyserOptions, Analysis, Token

ANALYSIS = Analysis(("en", "fr"))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("AB-1234", ["ab1234", "ab", "1234"]),
        ("AB1234", ["ab1234", "ab", "1234"]),
        ("loadIndex", ["loadindex", "load", "index"]),
        ("load_index", ["loadindex", "load", "index"]),
        ("an HTTPServer", ["an", "httpserver", "http", "server"]),
        ("3.11.7", ["3.11.7", "3", "11", "7"]),
        ("v2.0", ["v2.0", "v2", "v", "2", "0"]),
        ("2024-01-05", ["2024-01-05", "2024", "01", "05"]),
        ("jane.roe@example.com", ["jane.roe@example.com", "jane", "roe", "exampl", "com"]),
        (
            "src/io/loadIndex.py",
            ["src/io/loadindex.py", "src", "io", "loadindex", "load", "index", "py"],
        ),
        (r"C:\tmp\a.txt", ["c", "tmp/a.txt", "tmp", "a", "txt"]),
        ("os.path.join", ["os.path.join", "os", "path", "join"]),
        ("U.S.A. and e.g. this", ["usa", "and", "eg", "this"]),
        ("C++ and C# and F#", ["c++", "c", "and", "c#", "c", "and", "f#", "f"]),
        ("R&D", ["r&d", "r", "d"]),
        ("well-known", ["well", "known"]),
        ("end.Next", ["end", "next"]),
        ("and/or", ["and", "or"]),
        ("1,234,567.5", ["1234567.5", "1", "234", "567", "5"]),
        ("5km", ["5km", "5", "km"]),
        ("NASA", ["nasa"]),
        ("The boys' dog, John's cat", ["the", "boy", "dog", "john", "cat"]),
    ],
)
def test_names_are_found_whole_and_in_parts(text: str, terms: list[str]) -> None:
    assert ANALYSIS.terms(text, "en") == terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("l'été", ["ete"]),
        ("qu’il s’agît d'AB-12", ["il", "agit", "ab12", "ab", "12"]),
        ("Villeneuve-d'Ascq", ["villeneuv", "ascq"]),
        ("l'arc-en-ciel", ["arc", "en", "ciel"]),
        ("au XVIIe siècle, le 17ème, Ier", ["au", "17e", "siecl", "le", "17e", "1e"]),
        ("la vie vive", ["la", "vi", "viv"]),
        ("2 877 215 habitants", ["2877215", "2", "877", "215", "habit"]),
        ("14,2 milliards", ["14.2", "14", "2", "milliard"]),
        ("en 1990 200 personnes", ["en", "1990", "200", "person"]),
        ("créées créée créé", ["cre", "cre", "cre"]),
        ("aujourd'hui", ["aujourd", "hui"]),
    ],
)
def test_french(text: str, terms: list[str]) -> None:
    assert ANALYSIS.terms(text, "fr") == terms


def test_identifiers_can_be_left_out() -> None:
    plain = Analysis(("en", "fr"), AnalyserOptions(identifiers=False))
    assert plain.terms("loadIndex AB-1234 load_it 3.11 1,000", "en") == [
        *("loadindex", "ab", "1234", "load", "it", "3", "11", "1", "000")
    ]
    assert plain.terms("XVIIe", "fr") == plain.terms("xviie", "fr")


def test_numbers_that_may_be_something_else_stay() -> None:
    for word in ("3.11", "1,23,456", "1 23", "12,345,6", "1.000", "x,1", ""):
        assert number(word) is None
    for word in ("De", "Me", "vie", "Vie", "mer", "Xer e", "e", "XXXXe", "IIXe"):
        assert ordinal(word, "fr") is None


@pytest.mark.parametrize("text", ["東京タワーへ", "ประเทศไทย", "서울특별시", "ﾄﾞｷｭﾒﾝﾄ"])
def test_scripts_without_spaces_are_cut_into_characters_and_pairs(text: str) -> None:
    tokens = ANALYSIS.tokens(text, "")
    singles = [each for each in tokens if each.position != tokens[tokens.index(each) - 1].position]
    assert "".join(text[t.start : t.end] for t in singles) == text
    (first, pair, *_) = tokens
    assert (first.start, pair.start, first.position) == (0, 0, pair.position)
    assert pair.end == tokens[2].end


def test_query_without_spaces_asks_for_the_longest_grams() -> None:
    assert ANALYSIS.words("東京タワー", {""}) == [("東京",), ("京タ",), ("タワ",), ("ワー",)]
    assert ANALYSIS.words("京", {""}) == [("京",)]
    assert ANALYSIS.words("東京", {""}) == [("東京",)]
    three = Analysis(("en",), AnalyserOptions(ngram=3))
    assert three.words("東京タワー", {""}) == [("東京タ",), ("京タワ",), ("タワー",)]
    assert Analysis(("en",), AnalyserOptions(ngram=1)).terms("東京", "") == ["東", "京"]


def test_places_of_a_name_and_its_parts() -> None:
    assert ANALYSIS.tokens("Use loadIndex now", "en") == [
        Token("use", 0, 3, 0),
        Token("loadindex", 4, 13, 1),
        Token("load", 4, 8, 1),
        Token("index", 8, 13, 2),
        Token("now", 14, 17, 3),
    ]


def test_very_long_names_are_data() -> None:
    assert ANALYSIS.terms("aB" * 50_000, "en") == []
    assert parts("x" * 300, "en") == [("x" * 300, 0, 300, 1, False)]
    assert len(ANALYSIS.terms("a/B-" * 50_000, "en")) == 100_000
