from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.errors import ConfigError
from ragstack.index.analysers.synonyms import Synonym, read_synonyms
from ragstack.index.analysis import AnalyserOptions, Analysis, Wanted

LIST = """\ufeff# what people call things
ONU, Organisation des Nations unies   # the long name too
voiture, auto ^ 0.5
k8s => kubernetes
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "synonyms.txt"
    path.write_text(LIST, encoding="utf-8")
    return path


def analysis(file: Path, **options: object) -> Analysis:
    return Analysis(("en", "fr"), AnalyserOptions.of({"synonyms": str(file), **options}))


def test_list_is_read(file: Path) -> None:
    long = "Organisation des Nations unies"
    assert read_synonyms(file) == [
        Synonym("ONU", long, 0.8),
        Synonym(long, "ONU", 0.8),
        Synonym("voiture", "auto", 0.5),
        Synonym("auto", "voiture", 0.5),
        Synonym("k8s", "kubernetes", 0.8),
    ]
    assert read_synonyms(file, 0.1)[0].weight == 0.1


def test_thesaurus_is_read(tmp_path: Path) -> None:
    path = tmp_path / "th.dat"
    lines = [
        "ISO-8859-1",
        "début|2",
        "(Nom)|commencement|fin (Antonyme)|mise en train",
        "(Nom)|départ (Usuel)",
    ]
    path.write_bytes("\n".join([*lines, "a|1", "-|b", ""]).encode("latin-1"))
    assert read_synonyms(path) == [
        *[Synonym("début", other, 0.3) for other in ("commencement", "départ")],
        Synonym("a", "b", 0.3),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a, , b", "empty phrase"),
        ("alone", "one phrase alone"),
        ("a => ", "empty phrase"),
        ("a, b ^ much", "the weight 'much'"),
        ("a, b ^ nan", "the weight 'nan'"),
        ("a, b ^ -1", "the weight '-1'"),
        (", ".join(map(str, range(65))), "at most 64"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.txt"
    path.write_text("x, y\n" + text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_synonyms(path)
    assert "line 2" in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"KLINGON\na|1\n-|b", b"UTF-8\na|9\n-|b", b"UTF-8\na|1\n-|\xff", b""]
)
def test_what_is_no_thesaurus_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "s.dat"
    path.write_bytes(raw)
    with pytest.raises(ConfigError):
        read_synonyms(path)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        analysis(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("été, estival".encode("latin-1"))
    with pytest.raises(ConfigError, match="not in utf-8"):
        analysis(tmp_path / "latin.txt")


def test_a_word_stands_for_its_synonyms(file: Path) -> None:
    (car,) = analysis(file).wanted("voitures", {"fr"})
    assert car == Wanted(("voitur", "auto"), (1.0, 0.5))
    assert analysis(file).wanted("K8s", {"fr"}) == [Wanted(("k8s", "kubernet"), (1.0, 0.8))]
    assert analysis(file).wanted("kubernetes", {"fr"}) == [Wanted(("kubernet",), (1.0,))]


def test_phrases_are_found_in_any_inflection(file: Path) -> None:
    for query in ("l'organisation des nations unies", "Organisations des Nations Unies"):
        wanted = analysis(file).wanted(query, {"en", "fr"})
        (short,) = [each for each in wanted if "onu" in each.forms]
        assert short.weights == (pytest.approx(0.8 * 4),)
    wanted = analysis(file).wanted("Que fait l'ONU ?", {"fr"})
    weights = {each.forms[0]: each.weights[0] for each in wanted}
    assert weights["onu"] == 1.0
    assert weights["nation"] == weights["uni"] == pytest.approx(0.8 / 4)
    assert "des" not in weights


def test_what_is_asked_twice_weighs_twice(file: Path) -> None:
    assert analysis(file).wanted("rose rose", {"en"}) == [Wanted(("rose",), (2.0,))]


def test_views_of_a_query_weigh_what_they_are_given() -> None:
    views = {"surface": 0.5, "grams": 0.25, "prefix": 0.0}
    analysis = Analysis(("en",), AnalyserOptions.of({"views": views}))
    assert analysis.wanted("the houses", {"en"}) == [
        Wanted(("hous",), (1.0,)),
        Wanted(("=houses",), (0.5,)),
        *[Wanted((gram,), (0.25,)) for gram in ("~hous", "~ouse", "~uses")],
    ]
    assert analysis.views("Houses", "en") == ["~hous", "~ouse", "~uses", "=houses"]
    assert Analysis(("en",)).views("Houses", "en") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sinonyms": "x"}, "no option 'sinonyms'"),
        ({"stem": 1}, "stem of an analyser is true or false"),
        ({"ngram": 4}, "ngram of an analyser is 1, 2 or 3"),
        ({"ngram": True}, "ngram"),
        ({"views": {"odd": 1}}, "no view is named 'odd'"),
        ({"views": {"grams": -1}}, "a number from 0 to 10"),
        ({"views": {"grams": float("nan")}}, "a number from 0 to 10"),
        ({"views": {"grams": "1"}}, "a number from 0 to 10"),
        ({"views": ["grams"]}, "a table of names and weights"),
        ({"query_languages": "all"}, "'index' or 'detected'"),
        ({"stop_words": {"xx": []}}, "by language"),
        ({"stop_words": {"fr": "le"}}, "a list of words"),
        ({"stop_words": ["le"]}, "a table of lists"),
        ({"synonyms": 3}, "the path of a file"),
        ({"synonym_weight": 11}, "synonym_weight is a number"),
        (["stem"], "a table of options"),
    ],
)
def test_options_are_checked(options: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AnalyserOptions.of(options)  # type: ignore[arg-type]


def test_stop_words_and_languages_of_queries_can_be_chosen() -> None:
    both = {"en", "fr"}
    own = Analysis(("en", "fr"), AnalyserOptions.of({"stop_words": {"fr": ["le", "bail"]}}))
    assert own.words("le bail dans", {"fr"}) == [("dan",)]
    detected = Analysis(("en", "fr"), AnalyserOptions.of({"query_languages": "detected"}))
    query = "quelle est cette organisation internationale et internationaux"
    assert all(len(word) == 1 for word in detected.words(query, both))
    assert any(len(word) == 2 for word in Analysis(("en", "fr")).words(query, both))
    unknown = "international"  # no word tells the language
    assert len(detected.words(unknown, both)[0]) == 2
