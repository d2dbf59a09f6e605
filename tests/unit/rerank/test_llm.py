"""Ranking by the odds of yes against no."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from ragstack.errors import UnsupportedCapability
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.rerank.llm import LlmReranker
from ragstack.testing.rerankers import RerankerSuite, passage
from ragstack.types import Message


def _reads(messages: Sequence[Message], text: str) -> float:
    """Return a probability of yes that grows with the question's words in the passage."""
    asked, _, rest = messages[-1].text.partition("Passage: ")
    found, _, _ = rest.partition("Does the passage")
    shared = set(asked.lower().split()) & set(found.lower().split())
    yes = 1 / (1 + math.exp(2 - len(shared)))
    return math.log((yes if text.lower() == "yes" else 1 - yes) / 2)


class TestScripted(RerankerSuite):
    def make(self) -> LlmReranker:
        return LlmReranker(generator=ScriptedGenerator(scores=_reads))


def test_the_score_is_the_log_odds() -> None:
    scores = {"yes": math.log(0.5), "Yes": math.log(0.25), "no": math.log(0.2), "No": -math.inf}
    reranker = LlmReranker(generator=ScriptedGenerator(scores=scores))
    assert reranker.score("q", [passage(0, "x")]) == pytest.approx([math.log(0.75 / 0.2)])


def test_a_long_passage_is_cut_to_the_window() -> None:
    generator = ScriptedGenerator(scores=_reads, context_size=120)
    reranker = LlmReranker(generator=generator)
    (score,) = reranker.score("who pays", [passage(0, "pays who " * 400)])
    assert math.isfinite(score)


def test_braces_in_a_text_are_text() -> None:
    seen: list[str] = []

    def note(messages: Sequence[Message], _text: str) -> float:
        seen.append(messages[-1].text)
        return -1.0

    LlmReranker(generator=ScriptedGenerator(scores=note)).score("{text}?", [passage(0, "{query}")])
    assert "Question: {text}?\n\nPassage: {query}\n\n" in seen[0]


def test_a_generator_without_numbers_is_refused() -> None:
    with pytest.raises(UnsupportedCapability, match="no log-probabilities"):
        LlmReranker(generator=ScriptedGenerator(["yes"]))
