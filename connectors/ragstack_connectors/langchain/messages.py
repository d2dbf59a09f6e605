"""Messages of LangChain as messages of ragstack, and the other way round."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ragstack import Message
from ragstack.errors import InputError
from ragstack.types import Part, Role, ToolCall

__all__ = ["from_langchain", "to_langchain"]

_SKIPPED = frozenset(
    ["tool_use", "tool_call", "tool_call_chunk", "thinking", "reasoning", "redacted_thinking"]
)
_ROLES: Mapping[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "ai": "assistant", "tool": "tool",
}  # fmt: skip


def from_langchain(messages: Sequence[BaseMessage]) -> list[Message]:
    """Return the messages as a generator reads them; neighbours of one role become one.

    Many templates refuse two messages of one role in a row, and none tells them apart.

    Raises:
        InputError: A part of a message that is neither text nor an image in the message itself.
    """
    found: list[Message] = []
    for message in messages:
        one = _message(message)
        last = found[-1] if found else None
        if last is not None and _joins(last, one):
            found[-1] = Message(one.role, _joined(last.content, one.content))
        else:
            found.append(one)
    return found


def to_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    """Return the messages as a LangChain chat model reads them."""
    return [_foreign(message) for message in messages]


def _message(message: BaseMessage) -> Message:
    content = _content(message.content)
    match message:
        case AIMessage():
            calls = tuple(
                ToolCall(call["id"] or f"call_{place}", call["name"], call["args"])
                for place, call in enumerate(message.tool_calls)
            )
            return Message("assistant", content, tool_calls=calls)
        case ToolMessage():
            failed = message.status == "error"
            text = f"error: {_text(content)}" if failed else content
            return Message("tool", text, tool_call_id=message.tool_call_id)
        case FunctionMessage():
            return Message("tool", content, tool_call_id=message.name)
        case SystemMessage():
            return Message("system", content)
        case HumanMessage():
            return Message("user", content)
        case ChatMessage() if message.role in _ROLES:
            return Message(_ROLES[message.role], content)
    known = ", ".join(sorted(_ROLES))
    raise InputError(f"a message is {message!r}; roles known: {known}")


def _joins(last: Message, one: Message) -> bool:
    return last.role == one.role != "tool" and not last.tool_calls and not one.tool_calls


def _joined(left: str | tuple[Part, ...], right: str | tuple[Part, ...]) -> str | tuple[Part, ...]:
    if isinstance(left, str) and isinstance(right, str):
        return "\n\n".join(text for text in (left, right) if text)
    return (*_parts(left), Part("\n\n", "text/plain"), *_parts(right))


def _parts(content: str | tuple[Part, ...]) -> tuple[Part, ...]:
    return (Part(content, "text/plain"),) if isinstance(content, str) else content


def _text(content: str | tuple[Part, ...]) -> str:
    return content if isinstance(content, str) else Message("tool", content).text


def _content(content: str | Sequence[str | Mapping[str, Any]]) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return content
    parts = [part for block in content if (part := _part(block)) is not None]
    if all(part.type == "text/plain" for part in parts):
        return "".join(str(part.data) for part in parts)
    return tuple(parts)


def _part(block: str | Mapping[str, Any]) -> Part | None:
    if isinstance(block, str):
        return Part(block, "text/plain")
    kind = block.get("type")
    if kind == "text":
        return Part(str(block.get("text", "")), "text/plain")
    if kind in _SKIPPED:
        return None  # calls stand in the message's own field; thinking is never read again
    if kind in ("image", "image_url"):
        return _image(block)
    # A tool may well answer with a dict of its own.
    if kind is None or kind == "json":
        return Part(json.dumps(block, ensure_ascii=False, default=str), "text/plain")
    raise InputError(f"a part of a message has the type {kind!r}; text and images are read")


def _image(block: Mapping[str, Any]) -> Part:
    url = block.get("image_url", block.get("url", ""))
    url = url.get("url", "") if isinstance(url, Mapping) else url
    data, media_type = block.get("base64"), str(block.get("mime_type", "image/png"))
    source = block.get("source")
    if data is None and isinstance(source, Mapping):
        data, media_type = source.get("data"), str(source.get("media_type", media_type))
    if data is None and isinstance(url, str) and url.startswith("data:"):
        head, _, data = url.partition(",")
        media_type = head.removeprefix("data:").partition(";")[0]
    if not isinstance(data, str):
        raise InputError(
            "an image is an address elsewhere; nothing is fetched from there",
            hint="put its bytes into the message: base64 and mime_type",
        )
    try:
        return Part(base64.b64decode(data, validate=True), media_type)
    except binascii.Error as error:
        raise InputError(f"an image is no base64: {error}") from error


def _foreign(message: Message) -> BaseMessage:
    content: Any = message.content
    if not isinstance(content, str):
        content = [_block(part) for part in content]
    match message.role:
        case "system":
            return SystemMessage(content)
        case "user":
            return HumanMessage(content)
        case "tool":
            return ToolMessage(content, tool_call_id=message.tool_call_id or "")
        case "assistant":
            calls = [
                {"name": c.name, "args": dict(c.arguments), "id": c.id, "type": "tool_call"}
                for c in message.tool_calls
            ]
            return AIMessage(content, tool_calls=calls)


def _block(part: Part) -> dict[str, str]:
    if isinstance(part.data, str):
        return {"type": "text", "text": part.data}
    data = base64.b64encode(part.data).decode("ascii")
    return {"type": "image", "base64": data, "mime_type": part.type}
