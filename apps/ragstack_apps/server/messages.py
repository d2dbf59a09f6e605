"""OpenAI's messages in, the house's Messages out. Knows no model."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from ragstack.errors import InputError
from ragstack.types import MOST_IMAGE_BYTES, Message, Part, Role, ToolCall, image_part

__all__ = ["messages_of"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def messages_of(value: Any) -> tuple[Message, ...]:
    """Return the messages of a request.

    Raises:
        InputError: There are none, or one is not as expected; the error says which.
    """
    if not isinstance(value, list) or not value:
        raise InputError("messages is missing, expected a list with one message at least")
    return tuple(_message(item, f"messages[{at}]") for at, item in enumerate(value))


def _message(value: Any, place: str) -> Message:
    if not isinstance(value, dict):
        raise InputError(f"{place} is not as expected: an object with a role and content")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InputError(f"{place}.role is {role!r}, expected one of {', '.join(_ROLES)}")
    calls = value.get("tool_calls") or []
    if not isinstance(calls, list) or (calls and role != "assistant"):
        raise InputError(f"{place}.tool_calls is a list, in a message of the assistant alone")
    answered = value.get("tool_call_id")
    if answered is not None and not isinstance(answered, str):
        raise InputError(f"{place}.tool_call_id is {answered!r}, expected a text")
    content = value.get("content")
    if content is None and role == "assistant":
        content = ""
    return Message(
        _ROLES[role],
        _content(content, f"{place}.content"),
        tuple(_call(call, f"{place}.tool_calls[{at}]") for at, call in enumerate(calls)),
        answered,
    )


def _content(value: Any, place: str) -> str | tuple[Part, ...]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InputError(f"{place} is a {type(value).__name__}, expected a text or a list of parts")
    parts = tuple(_part(part, f"{place}[{at}]") for at, part in enumerate(value))
    if all(isinstance(part.data, str) for part in parts):
        return "".join(str(part.data) for part in parts)
    return parts


def _part(value: Any, place: str) -> Part:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text" and isinstance(value.get("text"), str):
        return Part(value["text"], "text/plain")
    named = value.get("image_url") if kind == "image_url" else None
    url = named.get("url") if isinstance(named, dict) else None
    if not isinstance(url, str):
        raise InputError(f"{place} is not as expected: a part of type 'text' or 'image_url'")
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise InputError(f"{place}.image_url.url is fetched from nowhere, expected data:image/…")
    # A base64 text is four thirds of its bytes: what is too large is not even decoded.
    if len(data) > MOST_IMAGE_BYTES // 3 * 4 + 4:
        raise InputError(f"{place}.image_url.url is larger than {MOST_IMAGE_BYTES / 1e6:,.0f} MB")
    try:
        image = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{place}.image_url.url is not base64: {error}") from error
    try:
        return image_part(image)
    except InputError as error:
        raise InputError(f"{place}.image_url.url: {error.message}", hint=error.hint) from error


def _call(value: Any, place: str) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(value.get("id"), str):
        raise InputError(f"{place} is not as expected: an object with an id and a function")
    name, written = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not isinstance(written, str):
        raise InputError(f"{place}.function has no name and arguments as texts")
    try:
        arguments = json.loads(written or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}.function.arguments is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InputError(f"{place}.function.arguments is not a JSON object")
    return ToolCall(value["id"], name, arguments)
