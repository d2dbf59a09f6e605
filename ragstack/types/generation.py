"""What goes into a generator and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from ragstack.errors import ConfigError

__all__ = [
    "Delta",
    "Dry",
    "Grammar",
    "JsonSchema",
    "Lark",
    "Message",
    "Mirostat",
    "Money",
    "Part",
    "Quote",
    "Quoted",
    "Regex",
    "Role",
    "Sampling",
    "TokenLogprob",
    "ToolCall",
    "ToolSpec",
    "Usage",
]

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: text or the bytes of an image, with its media type.

    ``image_part`` makes one of an image's bytes or file.
    """

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
    """One message of a conversation with a generator.

    Attributes:
        private: What it says may not leave this machine: a generator elsewhere refuses it.
    """

    role: Role
    content: str | tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    private: bool = False

    @property
    def text(self) -> str:
        """The message's text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.data for part in self.content if isinstance(part.data, str))


@dataclass(frozen=True, slots=True)
class Dry:
    """Don't repeat yourself: what would continue a repeated sequence is made less likely.

    The penalty is ``multiplier * base ** (length - allowed_length)``, of a sequence of ``length``
    tokens that the text ends with and that stood before.

    Attributes:
        allowed_length: Repeats shorter than this many tokens cost nothing.
        window: Tokens looked back over, the prompt's among them; 0 is all of them.
        breakers: No repeat goes across these strings, and none of them is ever made less likely.
    """

    multiplier: float = 0.8
    base: float = 1.75
    allowed_length: int = 2
    window: int = 0
    breakers: tuple[str, ...] = ("\n", ":", '"', "*")


@dataclass(frozen=True, slots=True)
class Mirostat:
    """Keep the surprise of the text near ``tau`` bits a token, by cutting more or fewer tokens.

    Attributes:
        version: 1 estimates the distribution's shape first, 2 does without.
        eta: How fast the cut follows the surprise: 0 never, 1 at once.
    """

    version: Literal[1, 2] = 2
    tau: float = 5.0
    eta: float = 0.1


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. The default is greedy, so that an answer can be had again.

    What each setting does, in which order, and where its formula comes from:
    docs/concepts/sampling.md.

    Attributes:
        temperature: 0 is greedy: then nothing that cuts or scales changes the text.
        top_k: 0 keeps all.
        seed: Same seed, same text.
        stop: Strings that end the text; they are not part of it.
        typical_p: The mass of the tokens whose surprise is nearest to the expected one; 1 is off.
        repetition_penalty: Divides the logits of tokens that stood before, if positive, and
            multiplies them, if not; 1 is off.
        repetition_window: Tokens looked back over for it, the prompt's among them; 0 is all.
        presence_penalty: Taken once from the logit of a token that the answer has; 0 is off.
        frequency_penalty: Taken for each time that the answer has it; 0 is off.
        dry: None is off.
        mirostat: Takes the place of top_k, top_p, min_p and typical_p; None is off.
        logit_bias: Added to the logits of these token ids; minus infinity forbids one.
        logprobs: Alternatives wanted with the log-probability of each token; 0 is none.
        deterministic: Let nothing else that runs move the logits: alone and in steps of fixed size
            where the local engine's steps are not exact.
        reasoning_tokens: Tokens between the thinking marks before they are closed; None is no
            limit, 0 no thinking.
        beams: Beams of a beam search, 64 at most; 1 is none.
        length_penalty: A beam's log-probability is divided by its length to this power: 0 prefers
            short texts, more than 1 long ones.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry: Dry | None = None
    mirostat: Mirostat | None = None
    # A mapping has no hash, and two settings that differ in it alone may well share theirs.
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    logprobs: int = 0
    deterministic: bool = False
    reasoning_tokens: int | None = None
    beams: int = 1
    length_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was: natural logarithms of the model's own probabilities.

    Attributes:
        alternatives: The likeliest tokens there with theirs, best first; the token itself too,
            where it is one of them.
    """

    token: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A stretch of a message: characters of its text, half-open.

    Attributes:
        message: Its place among the messages.
    """

    message: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Influence:
    """How likely a reply is with and without parts of its prompt: natural logarithms, summed.

    Attributes:
        whole: With all of the prompt.
        without: Without each part, in order.
        exact: Each prompt was read anew; else the part was forgotten from what had been read, and
            what stands after it still knows of it.
    """

    whole: float
    without: tuple[float, ...]
    exact: bool

    @property
    def scores(self) -> tuple[float, ...]:
        """How many nats likelier each part made the reply."""
        return tuple(self.whole - without for without in self.without)


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
class Money:
    """An amount in a currency, by its ISO 4217 code; exact."""

    amount: Decimal
    currency: str

    def __add__(self, other: Money) -> Money:
        """Return the sum.

        Raises:
            ConfigError: The currencies differ.
        """
        if self.currency != other.currency:
            raise ConfigError(f"{self.currency!r} and {other.currency!r} cannot be added")
        return Money(self.amount + other.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation took.

    Attributes:
        cached_tokens: Prompt tokens that were not read again.
        written_tokens: Prompt tokens that a service wrote to its cache, which some charge more for.
        cost: By the price table; None where no price is known, and for what runs here.
        near_ties: Greedy steps whose two best logits lay within 0.5: from such a token on, the text
            may differ in other company. Counted by the local engine alone.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    written_tokens: int = 0
    cost: Money | None = None
    near_ties: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum, field by field; the cost is the sum of those that are known.

        Costs of two currencies are no one amount: then there is none.
        """
        costs = [usage.cost for usage in (self, other) if usage.cost is not None]
        if len({cost.currency for cost in costs}) > 1:
            costs = []
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.answer_tokens + other.answer_tokens,
            self.seconds + other.seconds,
            self.written_tokens + other.written_tokens,
            costs[0] + costs[1] if len(costs) == 2 else costs[0] if costs else None,
            self.near_ties + other.near_ties,
        )


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a generator's stream.

    Attributes:
        reasoning: Thinking; shown apart, never quoted, cited or parsed as the answer.
        finish: On the last delta only: ``stop``, ``length``, ``tool_calls``, ``cancelled``.
        usage: On the last delta only.
        logprobs: Of the tokens since the last delta, thinking too, where ``Sampling.logprobs`` asks
            for them.
    """

    text: str = ""
    reasoning: str = ""
    tool_call: ToolCall | None = None
    finish: str | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
