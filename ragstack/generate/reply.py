"""Pieces of a reply as a server sends them in, Deltas out. Knows no dialect and no HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ragstack.errors import RemoteError
from ragstack.generate.reasoning import ReasoningSplitter
from ragstack.generate.sse import decoded
from ragstack.generate.stops import StopScanner
from ragstack.types import Delta, ToolCall, Usage

__all__ = ["Reply", "count", "string"]

_MOST_TOKENS = 10**12  # a count above it is nonsense


@dataclass(slots=True)
class _Call:
    """A tool call as its pieces come."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str = ""


@dataclass(slots=True)
class Reply:
    """A reply as it grows. A dialect tells it what an event brought and gets what may be shown.

    Attributes:
        finish: Why it ended, empty while it has not.
        done: Nothing more will come, whether or not the connection stays open.
        logprobs: Log-probabilities were asked for.
        pieces: Events with text so far: an estimate of the tokens, where a server counts none.
    """

    stop: Sequence[str]
    usage: Usage | None = None
    finish: str = ""
    done: bool = False
    pieces: int = 0
    logprobs: bool = False
    calls: list[_Call] = field(default_factory=list)
    places: dict[int, _Call] = field(default_factory=dict)
    splitter: ReasoningSplitter = field(default_factory=ReasoningSplitter)
    stops: StopScanner = field(init=False)

    def __post_init__(self) -> None:
        """Begin to watch for the stop strings."""
        self.stops = StopScanner(self.stop)

    @property
    def over(self) -> bool:
        """Reading on would bring nothing."""
        return self.done or self.stops.stopped

    def add(self, thought: str, text: str) -> Delta | None:
        """Take thinking and text, and return what of it may be shown, if anything."""
        self.pieces += bool(thought or text)
        more, answer = self.splitter.push(text) if text else ("", "")
        delta = Delta(text=self.stops.push(answer), reasoning=thought + more)
        return delta if delta.text or delta.reasoning else None

    @property
    def signatures(self) -> dict[str, str]:
        """The signatures of the tool calls that have one, by the calls' ids."""
        return {call.id: call.signature for call in self.calls if call.id and call.signature}

    def call(self, place: int, *, id: str = "", name: str = "", arguments: str = "") -> _Call:
        """Take a piece of the tool call at a place, and return the call so far.

        A new id at an old place begins a new call: some servers number every call 0.
        """
        found = self.places.get(place)
        if found is None or (id and found.id and id != found.id):
            found = self.places[place] = _Call()
            self.calls.append(found)
        found.id = id or found.id
        found.name += name
        found.arguments += arguments
        return found

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
        if self.stops.stopped:
            return
        for number, call in enumerate(self.calls):
            yield Delta(tool_call=_finished(call, number))

    def last(self, prompt_tokens: int, seconds: float) -> Delta:
        """Return the closing delta.

        Args:
            prompt_tokens: For a server that reports no usage.
        """
        usage = self.usage or Usage(prompt_tokens, 0, self.pieces)
        finish = "tool_calls" if self.calls and self.finish == "stop" else self.finish
        return Delta(
            finish="stop" if self.stops.stopped else finish,
            usage=replace(usage, seconds=seconds),
        )


def _finished(call: _Call, number: int) -> ToolCall:
    arguments = decoded(call.arguments.strip() or "{}")
    if not call.name or not isinstance(arguments, dict):
        raise RemoteError(
            f"the model called {call.name[:200]!r} with {call.arguments[:200]!r}, "
            "expected a name and a JSON object",
            retryable=True,
        )
    return ToolCall(call.id or f"call_{number}", call.name, arguments)


def string(value: object) -> str:
    """Return a text that may be missing.

    Raises:
        TypeError: It is something else.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} stands where a text should")
    return value


def count(value: object) -> int:
    """Return a number of tokens that may be missing.

    Raises:
        TypeError: It is something else.
    """
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} stands where a number of tokens should")
    if not 0 <= value <= _MOST_TOKENS:
        raise TypeError(f"{value!r} is no number of tokens")
    return int(value)
