"""What the bridges' tests share: bases, a script that calls tools, and a loop for async tests."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ragstack import Message, Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Delta, ToolCall

OpenBase = Callable[..., Stack]


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> None:
    """Run the async tests of published suites, which leave it to the plug-in's own mode."""
    marks = [mark.name for mark in getattr(obj, "pytestmark", ())]
    if inspect.iscoroutinefunction(obj) and "asyncio" not in marks:
        pytest.mark.asyncio(getattr(obj, "__func__", obj))


@pytest.fixture
def open_base(tmp_path: Path) -> Iterator[OpenBase]:
    """Opens bases with the hashing embedder; closes them at the end."""
    opened: list[Stack] = []

    def make(name: str = "kb", **overrides: Any) -> Stack:
        chosen = {"embed": {"use": "hashing"}, "rerank": {"use": "none"}, **overrides}
        stack = Stack.open(
            tmp_path / name, overrides=chosen, generator=ScriptedGenerator(lambda _messages: "ok")
        )
        opened.append(stack)
        return stack

    yield make
    for stack in opened:
        stack.close()


def _arguments(tool: dict[str, Any], question: str) -> dict[str, Any]:
    """Return arguments that the tool's schema accepts, with what the question names."""
    found: dict[str, Any] = {}
    number = re.search(r"\((\d+)\)", question)
    quoted = re.search(r"'([^']+)'", question)
    for name, schema in tool["parameters"].get("properties", {}).items():
        if schema.get("type") == "integer":
            found[name] = int(number[1]) if number else 1
        else:
            found[name] = quoted[1] if quoted else f"some {name}"
    return found


def reply(messages: Sequence[Message]) -> Any:
    """Answer as a model would that calls tools when it must, and says something else."""
    system, last = messages[0].text, messages[-1].text
    if messages[0].role == "system" and "one call of a tool" in system:
        tools = [json.loads(line) for line in system.splitlines() if line.startswith('{"name"')]
        arguments = _arguments(tools[0], last)
        return json.dumps({"name": tools[0]["name"], "arguments": arguments}, ensure_ascii=False)
    if "weather in" in last:
        return Delta(tool_call=ToolCall("call_1", "get_weather", {"location": "San Francisco"}))
    return "Here is an answer of ten words or so, for all."


@pytest.fixture
def script() -> Callable[[], ScriptedGenerator]:
    """Makes generators that answer as ``reply`` does."""
    return lambda: ScriptedGenerator(reply, name="script-1")
