"""Tool calls: read from a reply in any of the ways models write them, and never from plain text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.grammar import Compiler
from ragstack.engine.model import Model
from ragstack.engine.vocabulary import Detokenizer
from ragstack.errors import InputError
from ragstack.generate.tool_calls import ToolCallReader, tool_grammar
from ragstack.types import ToolCall, ToolSpec

_CALL = '{"name": "search", "arguments": {"q": "roof"}}'


def _read(text: str) -> tuple[str, list[ToolCall]]:
    reader = ToolCallReader(["search"], "call_2")
    shown = "".join(reader.push(sign) for sign in text)
    rest, calls = reader.finish()
    return shown + rest, calls


@pytest.mark.parametrize(
    "text",
    [
        _CALL,
        f"<tool_call>\n{_CALL}\n</tool_call>",
        f"\n<tool_call>{_CALL}</tool_call>",
        f"```json\n{_CALL}\n```",
        f"```\n{_CALL}\n```",
    ],
)
def test_a_call_is_read(text: str) -> None:
    assert _read(text) == ("", [ToolCall("call_2_0", "search", {"q": "roof"})])


def test_several_calls_have_ids_of_their_own() -> None:
    shown, calls = _read(f"<tool_call>\n{_CALL}\n</tool_call>\n<tool_call>\n{_CALL}\n</tool_call>")
    assert shown == ""
    assert [call.id for call in calls] == ["call_2_0", "call_2_1"]


@pytest.mark.parametrize(
    "text",
    [
        "Hello, {name}.",
        "Nothing to call.",
        '{"name": "other", "arguments": {}}',
        '{"name": "search", "arguments": [1]}',
        '{"name": "search", "argum',
        f"{_CALL} and more",
        "```python\nprint()\n```",
        "<tool",
        "[1]",
        "",
    ],
)
def test_text_stays_text(text: str) -> None:
    assert _read(text) == (text, [])


def test_text_is_passed_on_at_once() -> None:
    reader = ToolCallReader(["search"], "c")
    assert reader.push("He") == "He"
    assert reader.push("llo {") == "llo {"


_TOOLS = [
    ToolSpec(
        name,
        "",
        {
            "type": "object",
            "properties": {"q": {"type": "string", "maxLength": 3}},
            "required": ["q"],
            "additionalProperties": False,
        },
    )
    for name in ("search", "clock")
]


@pytest.fixture(scope="module")
def tool_model(local_path: Path) -> Iterator[Model]:
    model = Model(local_path)
    yield model
    model.close()


@pytest.mark.parametrize(
    ("opening", "marks_are_tokens"),
    [
        (opening, marks)
        for opening in ("{", "\n {", "```json\n{", "```\n{", "<tool_call>", "\n <tool_call>\n")
        for marks in (True, False)
        if marks or "<" not in opening
    ],
)
def test_once_begun_a_call_can_only_be_a_valid_one(
    tool_model: Model, opening: str, marks_are_tokens: bool
) -> None:
    """Whatever the model's weights are: every token after the opening is drawn at random here."""
    vocabulary = tool_model.vocabulary
    grammar = tool_grammar(_TOOLS, marks_are_tokens=marks_are_tokens)
    shown = {vocabulary.special_token(mark) or 0 for mark in ("<tool_call>", "</tool_call>")}
    compiler = Compiler(vocabulary)
    for seed in range(5):
        random = np.random.default_rng(seed)
        constraint = compiler.compile(grammar)
        text, reply = Detokenizer(vocabulary, shown=shown), ""
        for token in vocabulary.tokenize(opening, special=marks_are_tokens):
            constraint.accept(token)
            reply += text.push(token)
        while not constraint.complete and len(reply) < 500:
            if constraint.accepting and random.random() < 0.5:
                break
            logits = constraint.mask(random.standard_normal(vocabulary.size).astype(np.float32))
            token = int(np.argmax(logits))
            if token in vocabulary.ends:
                break
            constraint.accept(token)
            reply += text.push(token)
        reader = ToolCallReader(["search", "clock"], "c")
        assert reader.push(reply) == ""
        rest, calls = reader.finish()
        assert rest == ""
        assert {call.name for call in calls} <= {"search", "clock"}
        assert all(len(str(call.arguments["q"])) <= 3 for call in calls)


def test_two_tools_of_one_name_are_refused() -> None:
    tool = ToolSpec("search", "", {})
    with pytest.raises(InputError, match="one name"):
        tool_grammar([tool, tool], marks_are_tokens=True)
