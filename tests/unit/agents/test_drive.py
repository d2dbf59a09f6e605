from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ragstack.agents.drive import drive
from ragstack.agents.functions import function_tool
from ragstack.agents.loop import AskModel, CallTool, Finish, Loop, react
from ragstack.agents.tools import CalculatorTool
from ragstack.errors import Cancelled, InputError, RemoteError
from ragstack.protocols import Capabilities, Tool
from ragstack.types import Delta, Grammar, Message, Sampling, ToolCall, ToolSpec


class HandDriven:
    """Says its lines, delta by delta, and remembers what it was asked."""

    name = "hand"
    capabilities = Capabilities(tools=True)
    context_size = 1_000

    def __init__(self, *lines: Sequence[Delta]) -> None:
        self.asked: list[tuple[tuple[Message, ...], tuple[ToolSpec, ...], Sampling]] = []
        self._lines = list(lines)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        self.asked.append((tuple(messages), tuple(tools), sampling))
        yield from self._lines.pop(0)


def calls(name: str, **arguments: object) -> list[Delta]:
    return [
        Delta(reasoning="hm"),
        Delta("Let me "),
        Delta("see.", tool_call=ToolCall("c", name, arguments)),
        Delta(finish="tool_calls"),
    ]


def says(text: str) -> list[Delta]:
    return [Delta(text), Delta(finish="stop")]


def run(generator: HandDriven, *tools: Tool, question: str = "?") -> Finish:
    return drive(react(question, tools=[tool.spec for tool in tools]), generator, tools)


def test_the_model_calls_a_tool_and_answers() -> None:
    generator = HandDriven(calls("calculator", expression="6 * 7"), says("It is 42."))
    finish = run(generator, CalculatorTool(), question="6 times 7?")
    assert (finish.text, finish.reason) == ("It is 42.", "answer")
    assert [(message.role, message.text) for message in finish.messages[1:]] == [
        ("user", "6 times 7?"),
        ("assistant", "Let me see."),
        ("tool", "42"),
        ("assistant", "It is 42."),
    ]
    assert generator.asked[0][1] == (CalculatorTool().spec,)
    assert generator.asked[0][2] == Sampling()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "error: calculator: the argument 'expression' is missing"),
        ({"expression": 3}, "error: calculator.expression must be of type string"),
        ({"expression": "1", "self": 1}, "error: calculator: there is no argument 'self'"),
        ({"expression": "1 / 0"}, "error: '1 / 0' divides by zero"),
    ],
)
def test_bad_arguments_go_back_to_the_model(arguments: dict[str, object], complaint: str) -> None:
    call = [Delta(tool_call=ToolCall("c", "calculator", arguments)), Delta(finish="tool_calls")]
    generator = HandDriven(call, says("Sorry."))
    finish = run(generator, CalculatorTool())
    assert finish.messages[-2].text.startswith(complaint)
    assert finish.text == "Sorry."


def test_errors_of_ours_are_raised() -> None:
    def fetch() -> str:
        """Fetch."""
        raise RemoteError("no server")

    with pytest.raises(RemoteError, match="no server"):
        run(HandDriven(calls("fetch")), function_tool(fetch))


def test_a_bug_in_a_tool_is_raised() -> None:
    def broken() -> str:
        """Break."""
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(HandDriven(calls("broken")), function_tool(broken))


def test_a_stopped_generation_is_no_answer() -> None:
    with pytest.raises(Cancelled):
        run(HandDriven([Delta("It "), Delta(finish="cancelled")]))


def test_a_tool_that_the_loop_knows_must_be_given() -> None:
    loop = react("?", tools=[CalculatorTool().spec])
    with pytest.raises(InputError, match="'calculator', which was not given"):
        drive(loop, HandDriven(calls("calculator", expression="1")), [])


def test_the_loop_is_closed_when_an_act_fails() -> None:
    ended: list[str] = []

    def loop() -> Loop:
        try:
            yield AskModel((), ())
            yield CallTool(ToolCall("c", "fly", {}))
        finally:
            ended.append("closed")
        return Finish("", (), "answer")

    with pytest.raises(InputError):
        drive(loop(), HandDriven(says("x")), [])
    assert ended == ["closed"]


def test_sampling_is_passed_on() -> None:
    generator = HandDriven(says("x"))
    drive(react("?", tools=[]), generator, [], sampling=Sampling(max_tokens=7))
    assert generator.asked[0][2].max_tokens == 7
