"""Replies written beforehand, for tests and for trying a pipeline without a model."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ragstack.engine.sampling import check_sampling
from ragstack.errors import ContextOverflow, GenerationError, InputError, UnsupportedCapability
from ragstack.generate.stops import StopScanner
from ragstack.protocols import Capabilities
from ragstack.types import (
    Delta,
    Grammar,
    Message,
    Sampling,
    Span,
    ToolCall,
    ToolSpec,
    Usage,
    images_of,
)

__all__ = ["Asked", "ScriptedGenerator"]

Said = str | Delta | Sequence[Delta]
Reply = Said | BaseException
"""A text; a delta or several, for reasoning and tool calls; an error to raise."""

# A token is a word with the space before it, or one sign: so counts are exact and easily foreseen.
_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]|\s+\Z")
_MESSAGE_TOKENS = 2
_EVERY_GRAMMAR = frozenset({"json_schema", "regex", "lark", "quote", "quoted"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What one call was given."""

    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[ToolSpec, ...] = ()
    grammar: Grammar | None = None


class ScriptedGenerator:
    """A Generator, Scorer and TokenCounter that says what it was told to say.

    Attributes:
        asked: Every call of ``stream`` so far, in order.
    """

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[Sequence[Message]], Reply] = (),
        *,
        scores: Mapping[str, float] | Callable[[Sequence[Message], str], float] | None = None,
        context_size: int = 8192,
        name: str = "scripted",
    ) -> None:
        """Take the script.

        Args:
            replies: What to say, in order; or a function of the messages.
            scores: Log-probability of each continuation by its text, shared out over its tokens; or
                a function of messages and continuation. None: it is no Scorer.
        """
        if isinstance(replies, str):
            raise InputError(f"replies is {replies!r}, expected a sequence of replies")
        self._reply = replies if callable(replies) else None
        self._replies = [] if callable(replies) else list(replies)
        self._scores = scores
        self._context_size = context_size
        self._name = name
        self._lock = threading.Lock()
        self.asked: list[Asked] = []

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name

    @property
    def context_size(self) -> int:
        """Tokens of the window it pretends to have."""
        return self._context_size

    @property
    def capabilities(self) -> Capabilities:
        """Everything but images; log-probabilities where they are scripted."""
        return Capabilities(_EVERY_GRAMMAR, tools=True, logprobs=self._scores is not None)

    def count(self, text: str) -> int:
        """Return the number of words and signs."""
        return len(_TOKEN.findall(text))

    def offsets(self, text: str) -> list[Span]:
        """Return the characters of each word and sign, the space before it included."""
        return [found.span() for found in _TOKEN.finditer(text)]

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the words and signs of all messages, and two more for each message."""
        return sum(self.count(message.text) + _MESSAGE_TOKENS for message in messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the next reply, a token at a time.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit.
            GenerationError: The script has run out.
        """
        prompt = self.count_tokens(messages)
        check_sampling(sampling)
        if not messages:
            raise InputError("there are no messages to answer")
        if any(map(images_of, messages)):
            raise UnsupportedCapability("the scripted generator reads text alone")
        if prompt + sampling.max_tokens > self._context_size:
            raise ContextOverflow(
                f"the prompt has {prompt} tokens and the answer may have {sampling.max_tokens}, "
                f"the window holds {self._context_size}"
            )
        return self._deltas(Asked(tuple(messages), sampling, tuple(tools), grammar), prompt)

    def logprobs(
        self, messages: Sequence[Message], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Return the scripted log-probabilities.

        Raises:
            UnsupportedCapability: None are scripted.
            GenerationError: None is scripted for a continuation.
        """
        if isinstance(continuations, str):
            raise InputError(f"continuations is {continuations!r}, expected a sequence of strings")
        scores = self._scores
        if scores is None:
            raise UnsupportedCapability("no log-probabilities are scripted")
        rows = []
        for text in continuations:
            if not callable(scores) and text not in scores:
                raise GenerationError(
                    f"no log-probability is scripted for {text!r}; scripted: {list(scores)}"
                )
            total = scores(messages, text) if callable(scores) else scores[text]
            tokens = self.count(text)
            rows.append([total / tokens] * tokens)
        return rows

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _next(self, asked: Asked) -> Said:
        with self._lock:
            self.asked.append(asked)
            reply = self._replies.pop(0) if self._replies else None
        if reply is None and self._reply is not None:
            # Outside the lock: the function may well ask this generator again.
            reply = self._reply(asked.messages)
        if reply is None:
            raise GenerationError(
                f"the script has run out at call {len(self.asked)}; "
                f"asked was {asked.messages[-1].text[:200]!r}",
                hint="give ScriptedGenerator one reply for each call",
            )
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def _deltas(self, asked: Asked, prompt: int) -> Iterator[Delta]:
        reply = self._next(asked)
        stops = StopScanner(asked.sampling.stop)
        calls: list[ToolCall] = []
        left = asked.sampling.max_tokens
        finish = ""
        for delta in self._tokens(reply):
            if delta.tool_call is not None:
                calls.append(delta.tool_call)
                yield Delta(tool_call=delta.tool_call)
                continue
            if left == 0:
                finish = "length"
                break
            left -= 1
            shown = stops.push(delta.text)
            if shown or delta.reasoning:
                yield Delta(text=shown, reasoning=delta.reasoning)
            if stops.stopped:
                break
        if rest := stops.flush():
            yield Delta(text=rest)
        usage = Usage(prompt, 0, asked.sampling.max_tokens - left)
        yield Delta(finish=finish or ("tool_calls" if calls else "stop"), usage=usage)

    def _tokens(self, reply: Said) -> Iterator[Delta]:
        """Yield a reply with its texts cut into tokens."""
        said: object = [reply] if isinstance(reply, (str, Delta)) else reply
        for piece in said if isinstance(said, Sequence) else [said]:
            delta = Delta(text=piece) if isinstance(piece, str) else piece
            if not isinstance(delta, Delta):
                raise InputError(f"{delta!r} is no reply, expected a text, deltas or an error")
            yield from (Delta(text=token) for token in _TOKEN.findall(delta.text))
            yield from (Delta(reasoning=token) for token in _TOKEN.findall(delta.reasoning))
            if delta.tool_call is not None:
                yield Delta(tool_call=delta.tool_call)
