"""What goes into a generator and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Delta",
    "Grammar",
    "JsonSchema",
    "Lark",
    "Message",
    "Part",
    "Quote",
    "Quoted",
    "Regex",
    "Role",
    "Sampling",
    "ToolCall",
    "ToolSpec",
    "Usage",
]

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: text or the bytes of an image, with its media type."""

    data: str | bytes
    type: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a generator sees it; ``parameters`` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A generator's wish to call a tool."""

    id: str
    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation with a generator."""

    role: Role
    content: str | tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The message's text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.data for part in self.content if isinstance(part.data, str))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. The default is greedy, so that an answer can be had again.

    Attributes:
        temperature: 0 is greedy.
        top_k: 0 keeps all.
        seed: Same seed, same text.
        stop: Strings that end the text; they are not part of it.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The output must be JSON that this schema accepts."""

    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Regex:
    """The output must match this regular expression from end to end."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Lark:
    """The output must be derived from this Lark grammar (llguidance's dialect)."""

    grammar: str


@dataclass(frozen=True, slots=True)
class Quote:
    """The output can only be a contiguous span of one of these passages.

    Attributes:
        words: The span begins and ends with whole words.
    """

    passages: tuple[str, ...]
    words: bool = False


@dataclass(frozen=True, slots=True)
class Quoted:
    """The output is lines of quotes, each behind ``> ``, then an answer.

    A quote can only be a contiguous span of one of the passages, of whole words; white space in it
    is written as one space, so that it stays on its line.

    Attributes:
        answer: A regular expression that the answer matches from end to end.
        most: Quotes at most; one at least.
        size: UTF-8 bytes of a quote at most.
    """

    passages: tuple[str, ...]
    answer: str = r"[^>\s](?s:.*)"
    most: int = 3
    size: int = 400


Grammar = JsonSchema | Regex | Lark | Quote | Quoted


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation took; ``cached_tokens`` are prompt tokens that were not read again."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum, field by field."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.answer_tokens + other.answer_tokens,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a generator's stream.

    Attributes:
        reasoning: Thinking; shown apart, never quoted, cited or parsed as the answer.
        finish: On the last delta only: ``stop``, ``length``, ``tool_calls``, ``cancelled``.
        usage: On the last delta only.
    """

    text: str = ""
    reasoning: str = ""
    tool_call: ToolCall | None = None
    finish: str | None = None
    usage: Usage | None = None
