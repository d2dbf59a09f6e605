"""The loop is driven by hand here: no generator, no tool."""

from __future__ import annotations

import pytest

from ragstack.agents.loop import AskModel, CallTool, Finish, Loop, react
from ragstack.errors import InputError
from ragstack.types import Message, ToolCall, ToolSpec

ADD = ToolSpec("add", "Add.", {"type": "object"})
SEARCH = ToolSpec("search", "Search.", {"type": "object"})
CALL = ToolCall("1", "add", {"a": 1})


def says(text: str, *calls: ToolCall) -> Message:
    return Message("assistant", text, tool_calls=calls)


def ending(loop: Loop, sent: Message | str) -> Finish:
    with pytest.raises(StopIteration) as caught:
        loop.send(sent)
    finish = caught.value.value
    assert isinstance(finish, Finish)
    return finish


def test_it_asks_calls_and_finishes() -> None:
    loop = react("1 + 1?", tools=[ADD, SEARCH])
    first = next(loop)
    assert isinstance(first, AskModel)
    assert first.tools == (ADD, SEARCH)
    assert [message.role for message in first.messages] == ["system", "user"]
    assert first.messages[1].text == "1 + 1?"

    assert loop.send(says("I add.", CALL)) == CallTool(CALL)

    second = loop.send("2")
    assert isinstance(second, AskModel)
    assert second.messages[2:] == (
        says("I add.", CALL),
        Message("tool", "2", tool_call_id="1"),
    )

    finish = ending(loop, says(" It is 2. "))
    assert (finish.text, finish.reason) == ("It is 2.", "answer")
    assert finish.messages == (*second.messages, says(" It is 2. "))


def test_several_calls_of_one_reply_are_made_in_order() -> None:
    other = ToolCall("2", "search", {})
    loop = react("?", tools=[ADD, SEARCH])
    next(loop)
    assert loop.send(says("", CALL, other)) == CallTool(CALL)
    assert loop.send("one") == CallTool(other)
    asked = loop.send("two")
    assert isinstance(asked, AskModel)
    assert [(m.text, m.tool_call_id) for m in asked.messages[-2:]] == [("one", "1"), ("two", "2")]


def test_an_unknown_tool_becomes_an_observation() -> None:
    loop = react("?", tools=[ADD])
    next(loop)
    asked = loop.send(says("", ToolCall("7", "fly", {})))
    assert isinstance(asked, AskModel)
    assert asked.messages[-1] == Message(
        "tool", "error: no tool is named 'fly'; known: add", tool_call_id="7"
    )


def test_an_empty_reply_becomes_an_observation() -> None:
    loop = react("?", tools=[])
    next(loop)
    asked = loop.send(says("  "))
    assert isinstance(asked, AskModel)
    assert asked.messages[-1].role == "user"
    assert "empty" in asked.messages[-1].text


def test_after_the_last_step_it_must_answer_without_tools() -> None:
    loop = react("?", tools=[ADD], max_steps=2)
    next(loop)
    for _ in range(2):
        assert loop.send(says("", CALL)) == CallTool(CALL)
        asked = loop.send("2")
    assert isinstance(asked, AskModel)
    assert asked.tools == ()
    assert "No more tools" in asked.messages[-1].text
    finish = ending(loop, says("As far as I know, 2.", CALL))
    assert (finish.text, finish.reason) == ("As far as I know, 2.", "steps")


@pytest.mark.parametrize(
    ("question", "tools", "max_steps"),
    [(" ", [], 1), ("?", [], 0), ("?", [ADD, SEARCH, ADD], 1)],
)
def test_what_cannot_run_is_refused_at_once(
    question: str, tools: list[ToolSpec], max_steps: int
) -> None:
    with pytest.raises(InputError):
        react(question, tools=tools, max_steps=max_steps)


def test_a_driver_that_answers_with_the_wrong_thing_is_told() -> None:
    loop = react("?", tools=[ADD])
    next(loop)
    with pytest.raises(InputError, match="answered with a Message"):
        loop.send("text")
    loop = react("?", tools=[ADD])
    next(loop)
    loop.send(says("", CALL))
    with pytest.raises(InputError, match="answered with text"):
        loop.send(says("x"))
