"""Tools in, a grammar out that a reply must keep to; a reply's text in, its tool calls out.

A reply is either plain text or calls; a model that begins a call, in any of the ways models do,
can only finish a valid one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ragstack.errors import InputError
from ragstack.types import Lark, ToolCall, ToolSpec

__all__ = ["ToolCallReader", "tool_grammar"]

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_BEGINNINGS = (OPEN, "{", "```json\n{", "```\n{")
_FENCE = re.compile(r"```(?:json)?\n?|</?tool_call>")


def tool_grammar(tools: Sequence[ToolSpec], *, marks_are_tokens: bool) -> Lark:
    """Return the grammar of a reply that may call these tools.

    Args:
        marks_are_tokens: ``<tool_call>`` is one token of the vocabulary. Where it is not, the model
            was not taught to write it, and calls are bare JSON.
    """
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise InputError(f"two tools have one name: {', '.join(names)}")
    calls = {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": dict(tool.parameters)},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
    }
    forms = "bare | fenced"
    marked = ""
    if marks_are_tokens:
        forms = f"marked (NEWLINE marked)* | {forms}"
        marked = f"marked: {OPEN} NEWLINE? bare NEWLINE? {CLOSE}\n"
    return Lark(
        f"start: TEXT | SPACE? ({forms})\n{marked}"
        "fenced: /```(json)?\\n/ bare /\\n?```/\n"
        f"bare: %json {json.dumps(calls)}\n"
        "NEWLINE: /\\n/\n"
        "SPACE: /[ \\n]+/\n"
        # Text is what begins none of the forms of a call.
        "TEXT: /(?s:.+)/ & ~/[ \\n]*(```(json)?\\n)?\\{(?s:.*)/"
    )


class ToolCallReader:
    """Tells text from calls as a reply comes: text is passed on, calls are read at the end."""

    def __init__(self, names: Sequence[str], prefix: str) -> None:
        """Begin a reply.

        Args:
            names: The tools that were offered.
            prefix: Of the calls' ids; distinct for each reply of a conversation.
        """
        self._names = frozenset(names)
        self._prefix = prefix
        self._held = ""
        self._is_text = False

    def push(self, text: str) -> str:
        """Return text to show; what may be a call is held back."""
        if self._is_text:
            return text
        self._held += text
        begun = self._held.lstrip()
        if any(mark.startswith(begun) or begun.startswith(mark) for mark in _BEGINNINGS):
            return ""
        self._is_text = True
        shown, self._held = self._held, ""
        return shown

    def finish(self) -> tuple[str, list[ToolCall]]:
        """Return what is left to show, or the calls. A call cut short is shown as text."""
        held, self._held = self._held, ""
        calls = _read(_FENCE.sub(" ", held), self._names)
        if calls is None:
            return held, []
        return "", [
            ToolCall(f"{self._prefix}_{i}", name, arguments)
            for i, (name, arguments) in enumerate(calls)
        ]


def _read(text: str, names: frozenset[str]) -> list[tuple[str, dict[str, object]]] | None:
    """Return the calls that a row of JSON values stands for; None if anything else is there."""
    decoder = json.JSONDecoder()
    calls: list[tuple[str, dict[str, object]]] = []
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            return None
        name = value.get("name") if isinstance(value, dict) else None
        if name not in names or not isinstance(value.get("arguments"), dict):
            return None
        calls.append((name, value["arguments"]))
    return calls or None
