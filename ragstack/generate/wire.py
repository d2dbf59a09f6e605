"""Messages, tools and grammars to OpenAI's chat dialect, and its events back to a Reply."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ragstack.errors import RemoteError, UnsupportedCapability
from ragstack.generate.presets import PLAIN, Preset
from ragstack.generate.reply import Reply, count, string
from ragstack.generate.settings import logprobs_of
from ragstack.types import (
    Delta,
    Grammar,
    JsonSchema,
    Message,
    Part,
    Sampling,
    ToolSpec,
    Usage,
    image_type,
    images_of,
)

__all__ = ["Ask", "body", "read", "schema_of"]

# What OpenAI takes; what is above it is watched for here.
MOST_STOPS = 4
_FINISHES: Mapping[str, str] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",  # Mistral: the window is full
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "eos": "stop",
}
_UNSIGNED = "skip_thought_signature_validator"
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}\Z")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a generator was asked, for a dialect to write down.

    Attributes:
        signatures: Of earlier tool calls, by the calls' ids, for services that want them back.
    """

    messages: Sequence[Message]
    sampling: Sampling
    tools: Sequence[ToolSpec] = ()
    grammar: Grammar | None = None
    signatures: Mapping[str, str] = field(default_factory=dict)


def body(model: str, ask: Ask, service: Preset = PLAIN) -> dict[str, Any]:
    """Return the JSON of a request; ``settings.fields`` has what not every service knows.

    Raises:
        UnsupportedCapability: Another's message than the user's holds an image, or the grammar is
            no JSON schema.
        InputError: An image is too large, or none.
    """
    sampling = ask.sampling
    request: dict[str, Any] = {
        "model": model,
        "messages": [_message(message, service, ask.signatures) for message in ask.messages],
        service.tokens: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stream": True,
    }
    if "seed" in service.takes:
        request[service.seed] = sampling.seed
    if "stream_options" in service.takes:
        request["stream_options"] = {"include_usage": True}
    if sampling.stop:
        request["stop"] = list(sampling.stop[:MOST_STOPS])
    if ask.tools:
        request["tools"] = [_tool(tool) for tool in ask.tools]
    if ask.grammar is not None:
        schema = {"name": "reply", "schema": schema_of(ask.grammar), "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request


def text_of(message: Message) -> str:
    """Return the text of a message that can hold nothing else.

    Raises:
        UnsupportedCapability: It holds an image.
    """
    if images_of(message):
        raise UnsupportedCapability(
            f"a message of the role {message.role!r} holds an image; services read them in the "
            "user's messages alone",
            hint="put the image into a message of the role 'user'",
        )
    return message.text


def schema_of(grammar: Grammar) -> dict[str, object]:
    """Return the JSON schema of a grammar.

    Raises:
        UnsupportedCapability: It is of another kind.
    """
    if not isinstance(grammar, JsonSchema):
        raise UnsupportedCapability(
            f"a remote generator enforces JSON schemas alone, not {type(grammar).__name__}",
            hint="use the local generator for this step",
        )
    return dict(grammar.schema)


def _message(message: Message, service: Preset, signatures: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": _said(message)}
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": _id(call.id, service),
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for call in message.tool_calls
        ]
        if service.signed_calls:
            _sign(message, fields["tool_calls"], signatures)
    if message.tool_call_id is not None:
        fields["tool_call_id"] = _id(message.tool_call_id, service)
    return fields


def _said(message: Message) -> str | list[dict[str, Any]]:
    """Return a message's content: a text, or parts where it holds images."""
    if message.role != "user" or not images_of(message):
        return text_of(message)
    return [
        {"type": "text", "text": part.data}
        if isinstance(part.data, str)
        else {"type": "image_url", "image_url": {"url": _data_url(part.data)}}
        for part in message.content
        if isinstance(part, Part)
    ]


def _data_url(image: bytes) -> str:
    return f"data:{image_type(image)};base64,{base64.b64encode(image).decode('ascii')}"


def _sign(message: Message, written: list[dict[str, Any]], signatures: Mapping[str, str]) -> None:
    """Give Google's signatures back; of calls side by side it signs the first alone.

    https://ai.google.dev/gemini-api/docs/thought-signatures, with the value for calls that a Gemini
    never signed: another model's, or of before a restart.
    """
    for number, (call, fields) in enumerate(zip(message.tool_calls, written, strict=True)):
        signature = signatures.get(call.id) or ("" if number else _UNSIGNED)
        if signature:
            fields["extra_content"] = {"google": {"thought_signature": signature}}


def _id(given: str, service: Preset) -> str:
    """Return an id the service takes; the same one for the call and for its result."""
    if not service.short_ids or _SHORT_ID.match(given):
        return given
    return hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()[:9]


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
    }


def read(event: Mapping[str, Any], reply: Reply) -> Delta | None:
    """Add an event to a reply and return what it brings to show, if anything.

    Raises:
        RemoteError: The server withheld the reply.
        TypeError, ValueError, KeyError, AttributeError: It does not speak the dialect.
    """
    if event.get("usage"):
        reply.usage = _usage(event)
    choices = event.get("choices")
    if not choices:
        return None
    choice = choices[0]
    piece = choice.get("delta") or {}
    for call in piece.get("tool_calls") or ():
        function = call.get("function") or {}
        grown = reply.call(
            count(call.get("index")),
            id=string(call.get("id")),
            name=string(function.get("name")),
            arguments=_arguments(function.get("arguments")),
        )
        google = (call.get("extra_content") or {}).get("google") or {}
        grown.signature += string(google.get("thought_signature"))
    reason = choice.get("finish_reason")
    if reason:
        if reason not in _FINISHES:
            raise RemoteError(
                f"the server ended the reply with {reason!r}",
                hint="its filter withheld the rest" if reason == "content_filter" else "",
            )
        reply.finish = _FINISHES[reason]
    thought, text = _content(piece.get("content"))
    thought += string(piece.get("reasoning_content")) or string(piece.get("reasoning"))
    if piece.get("refusal"):
        raise RemoteError(f"the model refused: {string(piece['refusal'])[:200]!r}")
    delta = reply.add(thought, text)
    logprobs = logprobs_of(choice) if reply.logprobs else ()
    return replace(delta or Delta(), logprobs=logprobs) if logprobs else delta


def _content(content: object) -> tuple[str, str]:
    """Return (thinking, text); Mistral's reasoning models send both as lists of parts."""
    if not isinstance(content, list):
        return "", string(content)
    thought = text = ""
    for part in content:
        if part["type"] == "thinking":
            thought += "".join(string(inner.get("text")) for inner in part["thinking"])
        else:
            text += string(part.get("text"))
    return thought, text


def _arguments(value: object) -> str:
    """Return the arguments as a text; some servers send the object itself."""
    return json.dumps(value) if isinstance(value, dict) else string(value)


def _usage(event: Mapping[str, Any]) -> Usage:
    usage = event["usage"]
    details = usage.get("prompt_tokens_details") or {}
    # llama-server: timings.cache_n; DeepSeek: prompt_cache_hit_tokens.
    cached = (
        details.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")
        or (event.get("timings") or {}).get("cache_n")
    )
    # OpenAI's newer models and OpenRouter; gateways to Anthropic keep its name. Google tells none.
    written = details.get("cache_write_tokens") or usage.get("cache_creation_input_tokens")
    prompt = count(usage.get("prompt_tokens"))
    answer = count(usage.get("completion_tokens"))
    cached = min(count(cached), prompt)
    return Usage(prompt, cached, answer, written_tokens=min(count(written), prompt - cached))
