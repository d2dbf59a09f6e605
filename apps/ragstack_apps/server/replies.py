"""Deltas and Answers in, OpenAI's objects out: chunks as they come, or one completion of all.

Knows no socket. A reply gathers what it has passed on, so that the last word can be said once.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ragstack.types import Answer, Delta, Event, ToolCall, Usage

__all__ = ["Reply", "answer_extra"]

Chunks = Generator[dict[str, Any], None, None]
Told = tuple[int, Event]  # the place of an answer, and what came of it

_LEAST = -9999.0


@dataclass
class _Choice:
    """One answer of a reply, as far as it has come."""

    index: int
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish: str = "stop"
    usage: Usage = field(default_factory=Usage)
    extra: dict[str, Any] | None = None
    begun: bool = False
    told: int = 0

    def take(self, event: Event) -> Iterator[dict[str, Any]]:
        """Take note of an event; yield what of it is shown at once."""
        if isinstance(event, Answer):
            self.usage = event.usage
            self.extra = answer_extra(event)
            if not self.text and event.text:
                event = Delta(text=event.text)
        if not isinstance(event, Delta):
            return
        self.finish = event.finish or self.finish
        self.usage = event.usage or self.usage
        if event.reasoning:
            self.reasoning.append(event.reasoning)
            yield {"reasoning_content": event.reasoning}
        if event.text:
            self.text.append(event.text)
            yield {"content": event.text}
        if event.tool_call is not None:
            self.calls.append(event.tool_call)
            yield {"tool_calls": [_call(event.tool_call, len(self.calls) - 1)]}

    def message(self) -> dict[str, Any]:
        """Return the whole message."""
        # The checked text, with its markers, stands in for what was written on the way.
        text = self.extra["answer"] if self.extra else "".join(self.text)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [_call(call, at) for at, call in enumerate(self.calls)]
            message["content"] = text or None
            for call in message["tool_calls"]:
                del call["index"]
        return message


class Reply:
    """The answers to one request on their way to a client."""

    def __init__(
        self,
        model: str,
        choices: int = 1,
        alternatives: int | None = None,
        pieces: Callable[[Sequence[int]], list[bytes]] | None = None,
    ) -> None:
        """Begin with nothing said.

        Args:
            alternatives: Likely tokens to show beside each; None shows no log-probabilities.
            pieces: Returns the bytes of tokens.
        """
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._model = model
        self._choices = [_Choice(index) for index in range(choices)]
        self._alternatives = alternatives
        self._pieces = pieces

    def chunks(self, told: Generator[Told, None, None], *, include_usage: bool) -> Chunks:
        """Yield a chunk for each event that has something to say, then how each answer ended."""
        with closing(told):
            for place, event in told:
                choice = self._choices[place]
                probable = self._probable(choice, event)
                deltas = list(choice.take(event))
                for delta in deltas or ([{}] if probable else []):
                    yield self._chunk(choice, delta, logprobs=probable)
                    probable = []  # with the first of them
        for choice in self._choices:
            if not choice.begun:
                yield self._chunk(choice, {})
            last = self._chunk(choice, {}, choice.finish)
            if choice.extra is not None:
                last["ragstack"] = choice.extra
            yield last
        if include_usage:
            yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self._used()}

    def whole(self, told: Iterator[Told]) -> dict[str, Any]:
        """Return the completion, once all has come."""
        for place, event in told:
            choice = self._choices[place]
            choice.logprobs += self._probable(choice, event)
            for _ in choice.take(event):
                pass
        whole = {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": choice.index,
                    "message": choice.message(),
                    "logprobs": self._told(choice.logprobs),
                    "finish_reason": choice.finish,
                }
                for choice in self._choices
            ],
            "usage": self._used(),
        }
        extra = self._choices[0].extra
        return whole if extra is None else {**whole, "ragstack": extra}

    def _chunk(
        self,
        choice: _Choice,
        delta: dict[str, Any],
        finish: str | None = None,
        logprobs: Sequence[dict[str, Any]] = (),
    ) -> dict[str, Any]:
        role = {} if choice.begun else {"role": "assistant", "content": ""}
        choice.begun = True
        told = {
            "index": choice.index,
            "delta": {**role, **delta},
            "logprobs": self._told(logprobs) if logprobs else None,
            "finish_reason": finish,
        }
        return {**self._head("chat.completion.chunk"), "choices": [told]}

    def _told(self, logprobs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        return None if self._alternatives is None else {"content": list(logprobs), "refusal": None}

    def _probable(self, choice: _Choice, event: Event) -> list[dict[str, Any]]:
        """Return an event's log-probabilities as a client reads them."""
        if self._alternatives is None or self._pieces is None or not isinstance(event, Delta):
            return []
        # The mark that ends the text has a probability too, and is no token of the answer.
        left = None if event.usage is None else event.usage.answer_tokens - choice.told
        found = []
        for one in event.logprobs[:left]:
            others = one.alternatives[: self._alternatives]
            first, *rest = self._pieces([one.token, *(token for token, _ in others)])
            top = [
                _probability(piece, logprob)
                for piece, (_, logprob) in zip(rest, others, strict=True)
            ]
            found.append({**_probability(first, one.logprob), "top_logprobs": top})
        choice.told += len(found)
        return found

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _used(self) -> dict[str, Any]:
        """Return the usage: of all answers, the prompt of one, as it is the same."""
        usage = self._choices[0].usage
        written = sum(choice.usage.answer_tokens for choice in self._choices)
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": usage.prompt_tokens + written,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }


def _probability(piece: bytes, logprob: float) -> dict[str, Any]:
    text = piece.decode("utf-8", "replace")
    # JSON has no infinity; OpenAI says -9999 of what cannot come.
    return {"token": text, "logprob": max(logprob, _LEAST), "bytes": list(piece)}


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
