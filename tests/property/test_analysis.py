"""What holds of the analysis of any text."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ragstack.index.analysers.folding import fold
from ragstack.index.analysis import AnalyserOptions, Analysis

ANALYSIS = Analysis(
    ("en", "fr", "de", "tr", "it"),
    AnalyserOptions.of({"views": {"surface": 1, "prefix": 1, "grams": 1}}),
)
LANGUAGES = st.sampled_from(["en", "fr", "de", "tr", "it", ""])
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="aàéXIVe19 .,-'’_/@\\&+#\u00a0\u202f東ไทยกี่한\u0301\u00ad\u0130ﬁ²½"),
    st.lists(st.sampled_from(["l'été", "AB-1234", "C++", "2 877", "d'", "XVIIe", "a.b@c.de"])).map(
        " ".join
    ),
)


@given(TEXTS, LANGUAGES)
@example("e\u0301te\u0301 ﬁn\u00adal ½ kg", "fr")
@example("İstanbul'da", "tr")
@example("\ud800 a\ud800b", "en")
def test_tokens_stand_at_their_places(text: str, language: str) -> None:
    tokens = ANALYSIS.tokens(text, language)
    assert [token.term for token in tokens] == ANALYSIS.terms(text, language)
    last = 0
    for token in tokens:
        assert 0 <= token.start < token.end <= len(text)
        assert token.term
        assert not any(map(str.isspace, token.term))
        assert token.term[0] not in "=<~"
        assert token.position in (last, last + 1)
        last = token.position
        # What stands there has the term, whatever stands around it.
        alone = fold(text[token.start : token.end])
        assert alone or token.term


@given(TEXTS, LANGUAGES)
def test_text_is_found_by_itself(text: str, language: str) -> None:
    """Whatever a text holds, the same text as a query asks for nothing else."""
    held = {*ANALYSIS.terms(text, language), *ANALYSIS.views(text, language)}
    for term in held:
        term.encode("utf-8")
        assert len(term.split()) == 1
    single = Analysis((language,)) if language else Analysis(("en",))
    words = single.words(text, {language})
    assert words or not single.terms(text, language)


@given(TEXTS)
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXTS, st.sets(LANGUAGES, min_size=1))
def test_any_query_is_read(text: str, languages: set[str]) -> None:
    wanted = ANALYSIS.wanted(text, languages)
    assert all(len(forms) == len(weights) > 0 for forms, weights in wanted)
    assert all(form and weight > 0 for each in wanted for form, weight in zip(*each, strict=True))
    assert len({each.forms for each in wanted}) == len(wanted)
