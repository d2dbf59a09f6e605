"""The script: what was written is said, what was asked is kept, and it fails loudly at its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.errors import GenerationError, InputError, RemoteError
from ragstack.generate.scripted import Asked, ScriptedGenerator
from ragstack.types import Delta, Message, Regex, Sampling, ToolCall, ToolSpec

_MESSAGES = (Message("user", "Who pays?"),)


def _said(generator: ScriptedGenerator, **more: object) -> list[Delta]:
    sampling = more.pop("sampling", Sampling(max_tokens=50))
    return list(generator.stream(_MESSAGES, sampling=sampling, **more))  # type: ignore[arg-type]


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


@given(st.text())
def test_a_reply_is_said_to_the_letter(text: str) -> None:
    sampling = Sampling(max_tokens=1000)
    deltas = _said(ScriptedGenerator([text]), sampling=sampling)
    assert _text(deltas) == text
    assert deltas[-1].finish == "stop"


@given(st.text())
def test_counts_and_offsets_agree(text: str) -> None:
    generator = ScriptedGenerator()
    offsets = generator.offsets(text)
    assert len(offsets) == generator.count(text)
    assert "".join(text[start:end] for start, end in offsets) == text


def test_replies_come_in_order_and_end_loudly() -> None:
    generator = ScriptedGenerator(["One.", "Two."])
    assert [_text(_said(generator)), _text(_said(generator))] == ["One.", "Two."]
    with pytest.raises(GenerationError, match=r"run out at call 3; asked was 'Who pays\?'"):
        _said(generator)


def test_a_reply_can_depend_on_the_messages() -> None:
    generator = ScriptedGenerator(lambda messages: f"You said {messages[-1].text}")
    assert _text(_said(generator)) == "You said Who pays?"


def test_a_function_may_ask_again() -> None:
    def reply(messages: object) -> str:
        return "outer" if len(generator.asked) > 1 else _text(_said(generator))

    generator = ScriptedGenerator(reply)
    assert _text(_said(generator)) == "outer"


def test_what_was_asked_is_kept() -> None:
    generator = ScriptedGenerator(["a"])
    tool = ToolSpec("t", "", {})
    _said(generator, tools=[tool], grammar=Regex("a"), sampling=Sampling(max_tokens=9))
    assert generator.asked == [Asked(_MESSAGES, Sampling(max_tokens=9), (tool,), Regex("a"))]


def test_calls_and_thoughts_can_be_scripted() -> None:
    call = ToolCall("c", "search", {"q": "roof"})
    deltas = _said(ScriptedGenerator([[Delta(reasoning="Let me see."), Delta(tool_call=call)]]))
    assert "".join(delta.reasoning for delta in deltas) == "Let me see."
    assert [delta.tool_call for delta in deltas if delta.tool_call] == [call]
    assert deltas[-1].finish == "tool_calls"


def test_errors_can_be_scripted() -> None:
    generator = ScriptedGenerator([RemoteError("down", retryable=True), "up"])
    with pytest.raises(RemoteError):
        _said(generator)
    assert _text(_said(generator)) == "up"


def test_scores_are_shared_out() -> None:
    generator = ScriptedGenerator(scores={"yes, sir": -3.0})
    (row,) = generator.logprobs(_MESSAGES, ["yes, sir"])
    assert row == [-1.0, -1.0, -1.0]
    with pytest.raises(GenerationError, match="no log-probability is scripted for 'no'"):
        generator.logprobs(_MESSAGES, ["no"])
    computed = ScriptedGenerator(scores=lambda _, text: -float(len(text)))
    assert computed.logprobs(_MESSAGES, ["abc"]) == [[-3.0]]


def test_what_is_no_script_is_refused() -> None:
    with pytest.raises(InputError):
        ScriptedGenerator("one text")
    with pytest.raises(InputError):
        _said(ScriptedGenerator([3]))  # type: ignore[list-item]
