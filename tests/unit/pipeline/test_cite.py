from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.pipeline.cite import Cited, cite, without_markers
from ragstack.types import Chunk, Passage

TEXT = (
    "The Normans settled in France in the 10th century. They gave their name to Normandy. "
    "Their leader Rollo agreed to swear fealty to King Charles III of West Francia in 911. "
    "The dukes did not pay tribute to the king."
)
FRENCH = "Le moulin fut bâti en 1843. Le locataire, M. Garrec, entretient les vannes à ses frais."
OFFSET = 100


def passage(text: str, start: int = OFFSET, document: str = "d", language: str = "en") -> Passage:
    chunk = Chunk(document, "v", start, start + len(text), text, meta={"language": language})
    return Passage(chunk, 1.0, f"/{document}.txt")


def cited(answer: str, question: str = "Who swore fealty?", language: str = "en") -> Cited:
    found = [passage(TEXT), passage(FRENCH, document="f", language="fr")]
    return cite(answer, found, question=question, language=language)


def verdicts(answer: str, **more: str) -> list[str]:
    return [sentence.verdict for sentence in cited(answer, **more).sentences]


def test_words_of_the_source_are_verbatim_and_quote_their_sentence() -> None:
    found = cited("Rollo")
    (citation,) = found.citations
    assert citation.verdict == "verbatim"
    assert citation.quote.startswith("Their leader Rollo")
    assert TEXT[citation.start - OFFSET : citation.end - OFFSET] == citation.quote
    assert found.text == "Rollo [1]"


def test_other_words_are_supported() -> None:
    found = cited("Rollo swore fealty to Charles III of West Francia in 911.")
    assert [s.verdict for s in found.sentences] == ["supported"]
    assert found.text.endswith("911 [1].")


@pytest.mark.parametrize(
    "answer",
    [
        "Rollo swore fealty to Charles III of West Francia in 912.",
        "Rollo swore fealty to William of West Francia in 911.",
        "The dukes never agreed to swear fealty to King Charles of West Francia.",
        "The moon is made of green cheese.",
    ],
)
def test_another_number_name_or_negation_is_unsupported(answer: str) -> None:
    assert verdicts(answer) == ["unsupported"]
    assert cited(answer).citations == ()


def test_each_sentence_is_judged_alone() -> None:
    assert verdicts("They gave their name to Normandy. Elephants can fly.") == [
        "verbatim",
        "unsupported",
    ]


def test_a_sentence_may_need_two_quotes() -> None:
    found = cited(
        "The Normans settled in France in the 10th century and gave their name to Normandy."
    )
    assert found.sentences[0].verdict == "supported"
    assert len(found.citations) == 2
    assert len({citation.marker for citation in found.citations}) == 1


def test_french_elisions_and_accents() -> None:
    found = cited("M. Garrec entretient les vannes.", question="Qui ?", language="fr")
    assert found.citations[0].document_id == "f"
    assert found.sentences[0].verdict != "unsupported"


def test_the_occurrence_that_fits_the_question_is_quoted() -> None:
    text = "In 1900 the mill burned. In 1900 the bridge was opened by the mayor."
    found = cite("1900", [passage(text)], question="When was the bridge opened?", language="en")
    assert "bridge" in found.citations[0].quote


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("Rollo (their leader).", "Rollo (their leader) [1]."),
        ("Their leader ([Rollo](Rollo#leader)).", "Their leader ([Rollo](Rollo#leader)) [1]."),
        ("Their leader (their [Rollo](Rollo)!)", "Their leader (their [Rollo](Rollo)!) [1]"),
        ("(Their leader Rollo.", "(Their leader Rollo [1]."),
        ("Their leader Rollo.)", "Their leader Rollo [1].)"),
        ("Their leader Rollo (:", "Their leader Rollo (: [1]"),
    ],
)
def test_a_marker_stands_outside_of_brackets(answer: str, shown: str) -> None:
    """Within the target of a link it would tear the link apart."""
    assert cited(answer).text == shown


def test_markers_of_the_generator_are_not_trusted() -> None:
    assert without_markers("So it was [3]. And [1, 2] more[4]") == "So it was. And more"
    assert cited("Rollo [7]").text == "Rollo [1]"


def test_without_markers_the_text_stays_as_it_is() -> None:
    found = cite("Rollo", [passage(TEXT)], question="Who?", language="en", markers=False)
    assert found.text == "Rollo"
    assert len(found.citations) == 1


def test_passages_that_overlap_give_one_citation() -> None:
    twice = [passage(TEXT), passage(TEXT[51:], start=OFFSET + 51)]
    assert len(cite("Rollo", twice, question="Who?", language="en").citations) == 1


def test_nothing_in_nothing_out() -> None:
    found = cite("", [], question="?", language="en")
    assert found.text == ""
    assert found.citations == ()


@given(st.text(max_size=200), st.text(min_size=1, max_size=300), st.text(max_size=40))
def test_spans_hold_whatever_the_texts(answer: str, source: str, question: str) -> None:
    found = cite(answer, [passage(source)], question=question, language="en")
    assert all(
        source[c.start - OFFSET : c.end - OFFSET] == c.quote and c.quote for c in found.citations
    )
    at = 0
    for sentence in found.sentences:
        assert at <= sentence.start <= sentence.end <= len(found.text)
        at = sentence.end
