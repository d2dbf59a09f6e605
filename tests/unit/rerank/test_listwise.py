"""Ranking by an order that a generator writes under a grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from ragstack.errors import ConfigError, UnsupportedCapability
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.rerank.listwise import ListwiseReranker, _windows
from ragstack.testing.rerankers import RerankerSuite, passage
from ragstack.types import JsonSchema, Message


def _by_words(messages: Sequence[Message]) -> str:
    """Return the order by words shared with the question, the way a good generator would."""
    shown, _, asked = messages[-1].text.partition("Question: ")
    words = set(re.findall(r"\w+", asked.partition("\n")[0].lower()))
    texts = re.split(r"\[\d+\] ", shown)[1:]
    shared = [len(words & set(re.findall(r"\w+", text.lower()))) for text in texts]
    return json.dumps([n + 1 for n in sorted(range(len(texts)), key=lambda n: -shared[n])])


class TestScripted(RerankerSuite):
    tolerance = 4.0  # what is equally good stays in the order it came in

    def make(self) -> ListwiseReranker:
        return ListwiseReranker(generator=ScriptedGenerator(_by_words))


def test_the_best_of_a_long_list_comes_to_its_head() -> None:
    reranker = ListwiseReranker(generator=ScriptedGenerator(_by_words), window=4, step=2)
    passages = [passage(n, f"bread {n}") for n in range(20)]
    passages[17] = passage(17, "who pays for the roof")
    scores = reranker.score("who pays for the roof?", passages)
    assert scores.index(max(scores)) == 17
    assert sorted(scores) == [-19.0 + n for n in range(20)]


@pytest.mark.parametrize("reply", ["[2, 2, 2]", "[2, 1, 3]", "[2]"])
def test_what_is_named_twice_or_never_is_no_harm(reply: str) -> None:
    generator = ScriptedGenerator(lambda _: reply)
    scores = ListwiseReranker(generator=generator).score(
        "q", [passage(n, str(n)) for n in range(3)]
    )
    assert scores == [-1.0, 0.0, -2.0]


def test_it_is_held_to_the_numbers_there_are() -> None:
    generator = ScriptedGenerator(lambda _: "[1, 2]")
    ListwiseReranker(generator=generator).score("q", [passage(0, "a"), passage(1, "b")])
    grammar = generator.asked[0].grammar
    assert isinstance(grammar, JsonSchema)
    assert grammar.schema["items"] == {"type": "integer", "enum": [1, 2]}
    assert grammar.schema["minItems"] == grammar.schema["maxItems"] == 2


def test_one_passage_needs_no_generator() -> None:
    generator = ScriptedGenerator([])
    assert ListwiseReranker(generator=generator).score("q", [passage(0, "a")]) == [0.0]
    assert not generator.asked


def test_long_passages_are_cut_alike() -> None:
    generator = ScriptedGenerator(_by_words, context_size=400)
    reranker = ListwiseReranker(generator=generator)
    scores = reranker.score("roof", [passage(n, "bread " * 500) for n in range(4)])
    assert sorted(scores) == [-3.0, -2.0, -1.0, 0.0]
    assert generator.count_tokens(generator.asked[0].messages) < 400


def test_braces_in_a_text_are_text() -> None:
    generator = ScriptedGenerator(lambda _: "[1, 2]")
    ListwiseReranker(generator=generator).score("{x} {0}", [passage(0, "{q}"), passage(1, "}")])
    assert "{q}" in generator.asked[0].messages[-1].text


@pytest.mark.parametrize(
    ("count", "size", "step", "expected"),
    [
        (0, 4, 2, []),
        (3, 4, 2, [(0, 3)]),
        (8, 4, 2, [(4, 8), (2, 6), (0, 4)]),
        (9, 4, 3, [(5, 9), (2, 6), (0, 3)]),
    ],
)
def test_windows(count: int, size: int, step: int, expected: list[tuple[int, int]]) -> None:
    assert [(window.start, window.end) for window in _windows(count, size, step)] == expected


def test_options_are_checked() -> None:
    for window, step in ((1, 1), (4, 4), (4, 0)):
        with pytest.raises(ConfigError, match="window="):
            ListwiseReranker(generator=ScriptedGenerator(), window=window, step=step)


def test_a_generator_without_grammars_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = ScriptedGenerator()
    monkeypatch.setattr(
        type(generator),
        "capabilities",
        property(lambda _: type("C", (), {"grammars": frozenset()})()),
    )
    with pytest.raises(UnsupportedCapability, match="JSON schema"):
        ListwiseReranker(generator=generator)
