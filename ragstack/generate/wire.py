"""Messages, tools and grammars to OpenAI's chat dialect, and its events back to Deltas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragstack.errors import RemoteError, UnsupportedCapability
from ragstack.generate.reasoning import ReasoningSplitter
from ragstack.generate.stops import StopScanner
from ragstack.types import (
    Delta,
    Grammar,
    JsonSchema,
    Message,
    Sampling,
    ToolCall,
    ToolSpec,
    Usage,
)

__all__ = ["EventReader", "body", "events"]

# What OpenAI takes; what is above it is watched for here.
_MOST_STOPS = 4
_FINISHES: Mapping[str, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "eos": "stop",
}


def body(
    model: str,
    messages: Sequence[Message],
    *,
    sampling: Sampling,
    tools: Sequence[ToolSpec],
    grammar: Grammar | None,
) -> dict[str, Any]:
    """Return the JSON of a request, without the defaults of settings that OpenAI does not know.

    Raises:
        UnsupportedCapability: A message holds an image, or the grammar is no JSON schema.
    """
    request: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if sampling.stop:
        request["stop"] = list(sampling.stop[:_MOST_STOPS])
    if sampling.top_k:
        request["top_k"] = sampling.top_k
    if sampling.min_p:
        request["min_p"] = sampling.min_p
    if tools:
        request["tools"] = [_tool(tool) for tool in tools]
    if grammar is not None:
        request["response_format"] = _format(grammar)
    return request


def _message(message: Message) -> dict[str, Any]:
    if not isinstance(message.content, str) and any(
        isinstance(part.data, bytes) for part in message.content
    ):
        raise UnsupportedCapability("this generator sends text alone, a message holds an image")
    fields: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
    }


def _format(grammar: Grammar) -> dict[str, Any]:
    if not isinstance(grammar, JsonSchema):
        raise UnsupportedCapability(
            f"a remote generator enforces JSON schemas alone, not {type(grammar).__name__}",
            hint="use the local generator for this step",
        )
    schema = {"name": "reply", "schema": dict(grammar.schema), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each server-sent event, up to ``[DONE]``.

    Raises:
        RemoteError: An event is no JSON object, or is the server's own error.
    """
    for line in lines:
        if not line.startswith("data:"):
            continue  # comments that keep a connection alive, event names, empty lines
        data = line[len("data:") :].strip()
        if data == "[DONE]":
            return
        try:
            event = json.loads(data)
        except ValueError as error:
            raise RemoteError(f"the server sent {data[:200]!r}, expected JSON") from error
        if not isinstance(event, dict):
            raise RemoteError(f"the server sent {data[:200]!r}, expected a JSON object")
        if event.get("error"):
            raise RemoteError(f"the server broke off: {event['error']}", retryable=True)
        yield event


@dataclass(slots=True)
class _Call:
    """A tool call as its pieces come."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class EventReader:
    """Turns a stream of events into Deltas; the last one is ``last``, once the stream has ended.

    Attributes:
        finish: Why it ended, empty while it has not.
        pieces: Events with text so far: an estimate of the tokens, where a server counts none.
    """

    stop: Sequence[str]
    usage: Usage | None = None
    finish: str = ""
    pieces: int = 0
    calls: dict[int, _Call] = field(default_factory=dict)
    splitter: ReasoningSplitter = field(default_factory=ReasoningSplitter)
    stops: StopScanner = field(init=False)

    def __post_init__(self) -> None:
        """Begin to watch for the stop strings."""
        self.stops = StopScanner(self.stop)

    def push(self, event: Mapping[str, Any]) -> Delta | None:
        """Return what an event brings to show, if anything.

        Raises:
            RemoteError: The server withheld the reply, or does not speak the dialect.
        """
        try:
            return self._read(event)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RemoteError(f"the server's event cannot be read: {str(event)[:200]}") from error

    def _read(self, event: Mapping[str, Any]) -> Delta | None:
        if event.get("usage"):
            self.usage = _usage(event["usage"])
        if not event.get("choices"):
            return None
        choice = event["choices"][0]
        piece = choice.get("delta") or {}
        for call in piece.get("tool_calls") or ():
            self._call(call)
        self._end(choice.get("finish_reason"))
        thought = piece.get("reasoning_content") or piece.get("reasoning") or ""
        return self._shown(thought, piece.get("content") or "")

    def _shown(self, thought: str, text: str) -> Delta | None:
        self.pieces += bool(thought or text)
        more, answer = self.splitter.push(text) if text else ("", "")
        delta = Delta(text=self.stops.push(answer), reasoning=thought + more)
        return delta if delta.text or delta.reasoning else None

    def _call(self, piece: Mapping[str, Any]) -> None:
        call = self.calls.setdefault(int(piece.get("index", len(self.calls))), _Call())
        function = piece.get("function") or {}
        call.id = piece.get("id") or call.id
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""

    def _end(self, reason: str | None) -> None:
        if reason is None:
            return
        if reason not in _FINISHES:
            raise RemoteError(f"the server ended the reply with {reason!r}")
        self.finish = _FINISHES[reason]

    def rest(self) -> Iterator[Delta]:
        """Yield what was held back, and the tool calls.

        Raises:
            RemoteError: The stream ended before the reply did, or a call's arguments are no JSON.
        """
        if not self.finish and not self.stops.stopped:
            raise RemoteError("the server ended the stream in the middle", retryable=True)
        thought, answer = self.splitter.flush()
        delta = Delta(text=self.stops.push(answer) + self.stops.flush(), reasoning=thought)
        if delta.text or delta.reasoning:
            yield delta
        for index in sorted(self.calls):
            yield Delta(tool_call=_finished(self.calls[index], index))

    def last(self, prompt_tokens: int, seconds: float) -> Delta:
        """Return the closing delta.

        Args:
            prompt_tokens: For a server that reports no usage.
        """
        usage = self.usage or Usage(prompt_tokens, 0, self.pieces)
        return Delta(
            finish="stop" if self.stops.stopped else self.finish,
            usage=Usage(usage.prompt_tokens, usage.cached_tokens, usage.answer_tokens, seconds),
        )


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        int(usage.get("prompt_tokens") or 0),
        int(details.get("cached_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
    )


def _finished(call: _Call, index: int) -> ToolCall:
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError as error:
        raise RemoteError(
            f"the model called {call.name!r} with {call.arguments[:200]!r}, expected JSON",
            retryable=True,
        ) from error
    if not call.name or not isinstance(arguments, dict):
        raise RemoteError(f"the model's tool call has no name or no arguments: {call}")
    return ToolCall(call.id or f"call_{index}", call.name, arguments)
