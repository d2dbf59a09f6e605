"""Which passages made an answer likely, by leaving each of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ragstack import Answer, Chunk, Message, Passage, Stack
from ragstack.config import AnswerConfig
from ragstack.errors import InputError, UnsupportedCapability
from ragstack.generate.local import LocalGenerator
from ragstack.generate.prompts import LANGUAGES, load
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.answer import Answerer, shown_as
from ragstack.pipeline.attribute import Said, attribute
from ragstack.testing.tiny_model import SMOL_TEMPLATE, TinyModel

_TEXTS = ("Bread bakes for 45 minutes.", "Agnes Murray built it.", "It was Murray, says the abbot.")
_PASSAGES = [
    Passage(Chunk(f"d{n}", "v", 0, len(text), text), 1.0 - n / 10, f"/{n}.txt")
    for n, text in enumerate(_TEXTS)
]
_ANSWER = Answer("Agnes Murray [2].", False, True, passages=tuple(_PASSAGES))


def _believes(messages: Sequence[Message], text: str) -> float:
    """Return a probability that hangs on the two that name her, and falls with the bread."""
    assert text == "Agnes Murray."
    prompt = messages[-1].text
    return -9.0 + 6.0 * ("Agnes" in prompt) + 2.0 * ("abbot" in prompt) - 1.0 * ("Bread" in prompt)


def _answerer(generator: object) -> Answerer:
    return Answerer(generator, AnswerConfig(), document=lambda _id: None)  # type: ignore[arg-type]


def test_scores_and_shares_by_hand() -> None:
    answerer = _answerer(ScriptedGenerator(scores=_believes))
    said = Said("Who built it?", _ANSWER, "normal")
    found = attribute(answerer, said, load("en"), exact=False)
    assert found.answer == "Agnes Murray."
    assert found.exact, "a generator that only scores reads each prompt anew"
    assert [part.score for part in found.parts] == pytest.approx([-1.0, 6.0, 2.0])
    assert [part.share for part in found.parts] == pytest.approx([0.0, 0.75, 0.25])
    assert found.logprob == pytest.approx(-2.0)
    assert [part.text for part in found.parts] == list(_TEXTS)
    assert [part.chunk_ids for part in found.parts] == [(p.chunk.id,) for p in _PASSAGES]
    assert found.parts[1].source == "/1.txt"
    assert found.seconds > 0


def test_passages_left_out_leave_a_whole_prompt() -> None:
    seen: list[str] = []

    def note(messages: Sequence[Message], _text: str) -> float:
        seen.append(messages[-1].text)
        return -1.0

    answerer = _answerer(ScriptedGenerator(scores=note))
    attribute(answerer, Said("Who?", _ANSWER, "brief"), load("en"), exact=True)
    whole, *without = seen
    assert f"[1] {_TEXTS[0]}\n\n[2] {_TEXTS[1]}\n\n[3] {_TEXTS[2]}" in whole
    assert [w.replace("\n\n", "") for w in without] == [
        whole.replace(f"[{n}] {text}", "").replace("\n\n", "")
        for n, text in enumerate(_TEXTS, start=1)
    ]
    assert f"[1] {_TEXTS[0]}\n\n[3]" in without[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_places_are_those_of_the_passages(language: str) -> None:
    prompts = load(language)
    texts = ["[2] not the second", "a\n\n[3] b", "", "c"]
    asked = prompts.answering(texts, "Who? [1] me", "answer.normal")[-1].text
    pieces = [asked[start:end] for start, end in prompts.places(texts, asked)]
    assert pieces == [
        "[1] [2] not the second\n\n", "[2] a\n\n[3] b\n\n", "[3] \n\n", "[4] c"
    ]  # fmt: skip
    with pytest.raises(InputError):
        prompts.places(["other"], asked)


def test_an_answer_s_own_passages_make_the_same_prompt() -> None:
    text = "One. Two. Three. " * 9
    chunks = [Chunk("d", "v", at, at + 17, text[at : at + 17]) for at in range(0, 153, 17)]
    passages = [Passage(chunks[n], 1.0 - n / 99, "/d") for n in (5, 1, 4, 8, 2)] + _PASSAGES
    answerer = _answerer(ScriptedGenerator(scores=_believes))
    blocks = answerer.blocks("Who?", passages, load("en"), "normal")
    used = [passage for block in blocks for passage in block.passages]
    again = answerer.blocks("Who?", used, load("en"), "normal")
    assert [shown_as(block) for block in again] == [shown_as(block) for block in blocks]


def test_an_abstention_was_made_by_no_passage() -> None:
    answerer = _answerer(ScriptedGenerator(scores=_believes))
    answer = replace(_ANSWER, abstained=True)
    assert attribute(answerer, Said("Who?", answer, "normal"), load("en"), exact=True).parts == ()
    none = replace(_ANSWER, passages=())
    assert attribute(answerer, Said("Who?", none, "normal"), load("en"), exact=True).parts == ()


def test_what_cannot_be_told_says_so() -> None:
    prompts = load("en")
    with pytest.raises(UnsupportedCapability, match="no log-probabilities"):
        attribute(
            _answerer(ScriptedGenerator()), Said("Who?", _ANSWER, "normal"), prompts, exact=False
        )
    answerer = _answerer(ScriptedGenerator(scores=_believes))
    with pytest.raises(InputError, match="unknown style"):
        attribute(answerer, Said("Who?", _ANSWER, "long"), prompts, exact=False)
    with pytest.raises(InputError, match="no text"):
        blank = replace(_ANSWER, text=" [1]")
        attribute(answerer, Said("Who?", blank, "normal"), prompts, exact=False)


def test_a_local_model_is_asked_as_it_was_for_the_answer(tmp_path: Path) -> None:
    path = TinyModel(template=SMOL_TEMPLATE, context_length=4096).write(tmp_path / "m.gguf")
    with LocalGenerator(model=str(path), threads=1, context_size=4096) as generator:
        answerer, prompts = _answerer(generator), load("en")
        said = Said("Who built it?", _ANSWER, "brief")
        found = attribute(answerer, said, prompts, exact=False)
        assert not found.exact
        asked = prompts.answering(_TEXTS, said.question, "answer.brief")
        (row,) = generator.logprobs(asked, ["Agnes Murray."])
        assert found.logprob == pytest.approx(sum(row), abs=0.1)
        exact = attribute(answerer, said, prompts, exact=True)
        assert exact.exact
        assert len(exact.parts) == len(found.parts) == 3


def test_the_stack_asks_where_there_is_no_answer(stack: Stack) -> None:
    question = "Who built the lighthouse?"
    found = stack.attribute(question, style="brief")
    assert found.answer == "Agnes Murray"
    assert found.parts
    answer = stack.ask(question, style="brief")
    given = stack.attribute(question, answer, style="brief", exact=True)
    assert [part.chunk_ids for part in given.parts] == [part.chunk_ids for part in found.parts]
