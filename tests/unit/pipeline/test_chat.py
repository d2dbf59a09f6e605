from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ragstack import Message, Stack, Turn
from ragstack.errors import Cancelled, InputError, UnsupportedCapability
from ragstack.generate.prompts import load
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.chat import History, last_answer, standalone

OpenStack = Callable[..., Stack]
HISTORY = "Question: Who built the lighthouse?\nAnswer: Agnes Murray"


def rewritten(reply: str, question: str = "When did she build it?") -> str:
    return standalone(question, HISTORY, ScriptedGenerator([reply]), load("en"))


def test_a_follow_up_is_rewritten() -> None:
    expected = "When did Agnes Murray build the lighthouse?"
    assert rewritten(expected) == expected


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "\n",
        "Agnes Murray was a Scottish engineer born in Aberdeen who studied in Paris.",
        "When did Agnes Murray build the lighthouse " * 40,
    ],
)
def test_a_rewriting_that_answers_or_rambles_is_not_used(reply: str) -> None:
    assert rewritten(reply) == "When did she build it?"


def test_labels_and_quotation_marks_are_taken_off() -> None:
    expected = "When did Agnes Murray build the lighthouse?"
    assert rewritten(f'Question: "{expected}"\nIt is clear.') == expected


def test_a_first_question_is_left_alone() -> None:
    assert standalone("When?", "", ScriptedGenerator([]), load("en")) == "When?"


def test_a_conversation_may_be_held_to_quotes(open_stack: OpenStack, corpus_folder: Path) -> None:
    """It is a matter of each question, and of a generator that can be held to them."""
    with RemoteGenerator(url="http://127.0.0.1:1/v1", model="any") as generator:
        stack = open_stack(generator=generator)
        stack.ingest(corpus_folder)
        with pytest.raises(UnsupportedCapability, match="verbatim quotes"):
            stack.chat("c").ask("Who built the lighthouse?", quotes=True)
        assert not stack.chat("c").turns()


def test_turns_are_stored_and_searched_as_rewritten(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    seen: list[str] = []

    def say(messages: Sequence[Message]) -> str:
        text = messages[-1].text
        seen.append(text)
        if "Rewrite the last question" in text:
            return "Who built the lighthouse?"
        return "Agnes Murray"

    generator = ScriptedGenerator(
        say, scores=lambda _m, text: -0.1 if text in ("yes", "Yes") else -3.0, context_size=4096
    )
    stack = open_stack(generator=generator)
    stack.ingest(corpus_folder)
    chat = stack.chat("case-12")
    chat.ask("Who built the lighthouse?", style="brief")
    chat.ask("And who built it?", style="brief")
    assert chat.turns() == [
        Turn("Who built the lighthouse?", "Agnes Murray", "Who built the lighthouse?"),
        Turn("And who built it?", "Agnes Murray", "Who built the lighthouse?"),
    ]
    stack.close()
    again = open_stack(generator=generator)
    assert again.chats() == ["case-12"]
    assert len(again.chat("case-12").turns()) == 2
    assert again.chat("case-12").delete()
    assert not again.chat("case-12").delete()
    assert again.chats() == []


def test_old_turns_are_summarised_and_the_latest_kept(open_stack: OpenStack) -> None:
    stack = open_stack()
    history = History(stack.parts.catalog, "long", keep=4)
    for number in range(6):
        history.append(Turn(f"Question {number}?", f"Answer {number}."))
    generator = ScriptedGenerator(["They spoke of numbers."])
    history.shorten(generator, load("en"))
    text = history.text(load("en"))
    assert text.startswith("Earlier: They spoke of numbers.\n")
    assert "Question 5?" in text
    assert "Question 0?" not in text
    assert "Question 0?" in generator.asked[0].messages[-1].text
    history.shorten(ScriptedGenerator([]), load("en"))
    assert len(history.turns()) == 6


def test_a_stream_cut_off_is_an_error_not_an_answer() -> None:
    with pytest.raises(Cancelled):
        last_answer(iter(()))


def test_a_turn_is_answered_again_as_if_it_had_not_been(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    asked: list[str] = []

    def reply(messages: Sequence[Message]) -> str:
        asked.append(" ".join(message.text for message in messages))
        return "Agnes Murray"

    stack = open_stack(generator=ScriptedGenerator(reply, scores=lambda _m, _t: -0.1))
    stack.ingest(corpus_folder)
    chat = stack.chat("c")
    with pytest.raises(InputError, match="no answer"):
        chat.ask("Who built the lighthouse?", again=True)
    chat.ask("Who built the lighthouse?", style="brief")
    asked.clear()
    chat.ask("Who built the lighthouse?", style="brief", again=True)
    assert len(chat.turns()) == 1
    assert not any("Agnes Murray" in text.split("Question")[-1] for text in asked)
    stack.parts.catalog.set_summary("c", "They met.", 1)
    history = History(stack.parts.catalog, "c", keep=4).before_last()
    assert history.turns() == [] and history.text(load("en")) == ""
