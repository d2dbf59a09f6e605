"""Messages, tools and grammars to Anthropic's Messages dialect, and its events back to a Reply.

Reference: https://platform.claude.com/docs/en/build-with-claude/streaming and /api/messages.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from ragstack.errors import InputError, RemoteError
from ragstack.generate.reply import Reply, count, string
from ragstack.generate.wire import Ask, schema_of, text_of
from ragstack.types import Delta, Message, Part, Usage, image_type, images_of

__all__ = ["VERSION", "body", "read"]

VERSION = "2023-06-01"

_FINISHES: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_MOST_IMAGE_BYTES = 5 * 1024 * 1024  # docs/en/build-with-claude/vision
_MOST_STOPS = 4  # what is above it is watched for here


def body(model: str, ask: Ask) -> dict[str, Any]:
    """Return the JSON of a request: system messages apart, results of tools as the user's.

    Raises:
        UnsupportedCapability: A message of the system or the assistant holds an image, or the
            grammar is no JSON schema.
        InputError: A temperature above 1, nothing but system messages, an image that is none, or
            larger than Anthropic takes.
    """
    sampling = ask.sampling
    if sampling.temperature > 1.0:
        raise InputError(f"temperature is {sampling.temperature!r}, Anthropic takes 0 to 1")
    request: dict[str, Any] = {
        "model": model,
        "max_tokens": sampling.max_tokens,
        "messages": _turns(ask),
        "temperature": sampling.temperature,
        "stream": True,
    }
    system = "\n\n".join(
        text for m in ask.messages if m.role == "system" and (text := text_of(m)).strip()
    )
    if system:
        request["system"] = system
    # At temperature 0 top-p and top-k change nothing, and newer models refuse both together.
    if sampling.temperature and sampling.top_p < 1.0:
        request["top_p"] = sampling.top_p
    if sampling.temperature and sampling.top_k:
        request["top_k"] = sampling.top_k
    stops = [stop for stop in sampling.stop if stop.strip()]  # blank ones are refused
    if stops:
        request["stop_sequences"] = stops[:_MOST_STOPS]
    if ask.tools:
        request["tools"] = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": dict(tool.parameters),
            }
            for tool in ask.tools
        ]
    if ask.grammar is not None:
        form = {"type": "json_schema", "schema": schema_of(ask.grammar)}
        request["output_config"] = {"format": form}
    return request


def _turns(ask: Ask) -> list[dict[str, Any]]:
    """Return the messages, neighbours of one role joined: all results of tools stand in one."""
    turns: list[dict[str, Any]] = []
    for message in ask.messages:
        blocks = [] if message.role == "system" else _blocks(message)
        if not blocks:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise InputError("there is nothing to answer: all messages are empty or the system's")
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    seen = message.role in ("user", "tool") and bool(images_of(message))
    blocks = _parts(message) if seen else _text(text_of(message))
    if message.role == "tool":
        used = _id(message.tool_call_id or "")
        content = blocks if seen else text_of(message)
        return [{"type": "tool_result", "tool_use_id": used, "content": content}]
    blocks += [
        {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]
    return blocks


def _text(text: str) -> list[dict[str, Any]]:
    """Return a text as a block; an empty one is refused, so it is none."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _parts(message: Message) -> list[dict[str, Any]]:
    """Return texts and images in their order."""
    blocks: list[dict[str, Any]] = []
    for part in message.content:
        if not isinstance(part, Part):
            continue
        blocks += _text(part.data) if isinstance(part.data, str) else [_image(part.data)]
    return blocks


def _image(image: bytes) -> dict[str, Any]:
    media_type = image_type(image)
    if len(image) > _MOST_IMAGE_BYTES:
        raise InputError(
            f"an image has {len(image) / 1e6:,.1f} MB, Anthropic takes "
            f"{_MOST_IMAGE_BYTES / 1e6:,.1f} at most",
            hint="make it smaller: more than 1568 pixels a side are scaled down there anyway",
        )
    data = base64.b64encode(image).decode("ascii")
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def _id(given: str) -> str:
    return _NOT_IN_AN_ID.sub("_", given) or "call"


def read(event: Mapping[str, Any], reply: Reply) -> Delta | None:
    """Add an event to a reply and return what it brings to show, if anything.

    Raises:
        RemoteError: The model refused.
        TypeError, ValueError, KeyError, AttributeError: It does not speak the dialect.
    """
    kind = event.get("type")
    if kind == "message_start":
        reply.usage = _usage(event["message"].get("usage") or {}, Usage())
    elif kind == "content_block_start":
        return _begun(event, reply)
    elif kind == "content_block_delta":
        return _grown(event, reply)
    elif kind == "message_delta":
        reply.usage = _usage(event.get("usage") or {}, reply.usage or Usage())
        _end(event["delta"].get("stop_reason"), reply)
    elif kind == "message_stop":
        reply.done = True
    return None  # ping, content_block_stop, and what may be added to the dialect later


def _begun(event: Mapping[str, Any], reply: Reply) -> Delta | None:
    block = event["content_block"]
    if block["type"] == "tool_use":
        reply.call(count(event["index"]), id=string(block["id"]), name=string(block["name"]))
        return None
    return reply.add(string(block.get("thinking")), string(block.get("text")))


def _grown(event: Mapping[str, Any], reply: Reply) -> Delta | None:
    delta = event["delta"]
    if delta["type"] == "text_delta":
        return reply.add("", string(delta["text"]))
    if delta["type"] == "thinking_delta":
        return reply.add(string(delta["thinking"]), "")
    if delta["type"] == "input_json_delta":
        reply.call(count(event["index"]), arguments=string(delta["partial_json"]))
    return None  # signatures and citations


def _end(reason: object, reply: Reply) -> None:
    if reason is None:
        return
    if reason not in _FINISHES:
        raise RemoteError(f"the server ended the reply with {reason!r}")
    reply.finish = _FINISHES[str(reason)]


def _usage(usage: Mapping[str, Any], before: Usage) -> Usage:
    """Return the counts so far; Anthropic's ``input_tokens`` leave out those of the cache."""
    if usage.get("input_tokens") is None:
        prompt, cached = before.prompt_tokens, before.cached_tokens
        written = before.written_tokens
    else:
        cached = count(usage.get("cache_read_input_tokens"))
        written = count(usage.get("cache_creation_input_tokens"))
        prompt = count(usage["input_tokens"]) + cached + written
    answer = usage.get("output_tokens")
    return Usage(
        prompt,
        cached,
        before.answer_tokens if answer is None else count(answer),
        written_tokens=written,
    )
