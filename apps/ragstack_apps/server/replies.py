"""Deltas and Answers in, OpenAI's objects out: chunks as they come, or one completion of all.

Knows no socket. A reply gathers what it has passed on, so that the last word can be said once.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from ragstack.types import Answer, Delta, Event, ToolCall, Usage

__all__ = ["Reply", "answer_extra"]

Chunks = Generator[dict[str, Any], None, None]


class Reply:
    """One answer on its way to a client."""

    def __init__(self, model: str) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._model = model
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._finish = "stop"
        self._usage = Usage()
        self._extra: dict[str, Any] | None = None

    def chunks(self, events: Generator[Event, None, None], *, include_usage: bool) -> Chunks:
        """Yield a chunk for each event that has something to say, then how it ended."""
        role: dict[str, Any] = {"role": "assistant", "content": ""}
        with closing(events):
            for event in events:
                for delta in self._take(event):
                    yield self._chunk({**role, **delta})
                    role = {}
        if role:
            yield self._chunk(role)
        last = self._chunk({}, self._finish)
        if self._extra is not None:
            last["ragstack"] = self._extra
        yield last
        if include_usage:
            yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self._used()}

    def whole(self, events: Iterator[Event]) -> dict[str, Any]:
        """Return the completion, once all has come."""
        for event in events:
            for _ in self._take(event):
                pass
        # The checked text, with its markers, stands in for what was written on the way.
        text = self._extra["answer"] if self._extra else "".join(self._text)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [_call(call, at) for at, call in enumerate(self._calls)]
            message["content"] = text or None
            for call in message["tool_calls"]:
                del call["index"]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        whole = {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": self._used(),
        }
        return whole if self._extra is None else {**whole, "ragstack": self._extra}

    def _take(self, event: Event) -> Iterator[dict[str, Any]]:
        """Take note of an event; yield what of it is shown at once."""
        if isinstance(event, Answer):
            self._usage = event.usage
            self._extra = answer_extra(event)
            if not self._text and event.text:
                event = Delta(text=event.text)
        if not isinstance(event, Delta):
            return
        self._finish = event.finish or self._finish
        self._usage = event.usage or self._usage
        if event.reasoning:
            self._reasoning.append(event.reasoning)
            yield {"reasoning_content": event.reasoning}
        if event.text:
            self._text.append(event.text)
            yield {"content": event.text}
        if event.tool_call is not None:
            self._calls.append(event.tool_call)
            yield {"tool_calls": [_call(event.tool_call, len(self._calls) - 1)]}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _used(self) -> dict[str, Any]:
        usage = self._usage
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.answer_tokens,
            "total_tokens": usage.prompt_tokens + usage.answer_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }


def answer_extra(answer: Answer) -> dict[str, Any]:
    """Return what an answer from documents says beside its text."""
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "grounded": answer.grounded,
        "sentences": [dataclasses.asdict(sentence) for sentence in answer.sentences],
        "citations": [dataclasses.asdict(citation) for citation in answer.citations],
        "notes": list(answer.notes),
    }


def _call(call: ToolCall, at: int) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return {"index": at, "id": call.id, "type": "function", "function": function}
