"""One generator in, the same one out as a request's own thread sees it: its client and its end.

A Stack holds one generator for all; what is said here holds for the thread that says it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ragstack.errors import UnsupportedCapability
from ragstack.protocols import Attributor, Capabilities, Generator
from ragstack.types import (
    Delta,
    Grammar,
    Influence,
    Message,
    PromptPart,
    Sampling,
    ToolSpec,
    Usage,
)
from ragstack_apps.server.guard.observer import Observer

__all__ = ["AskedOnce", "Serving", "ServingGenerator"]


@dataclass(frozen=True, slots=True)
class Serving:
    """For whom a generator works, and how long.

    Attributes:
        client: Clients take turns.
        background: It waits for all that is not.
        deadline_s: Seconds that a generation may take, its time in the queue with it.
        cancel: Gives it up when set.
    """

    client: str
    deadline_s: float
    cancel: threading.Event
    background: bool = False


@dataclass
class AskedOnce:
    """What a generator was asked: to write, or to score. Times are of ``time.monotonic``.

    Attributes:
        first: When the first piece came; 0 where none did.
    """

    kind: str
    messages: tuple[Message, ...]
    begun: float
    first: float = 0.0
    ended: float = 0.0
    usage: Usage | None = None


@dataclass
class Pace:
    """How fast a generator was of late: answers weigh less the longer they are past."""

    read: float = 0.0
    reading_s: float = 0.0
    written: float = 0.0
    writing_s: float = 0.0

    def take(self, once: AskedOnce) -> None:
        """Take an answer into account; races of threads cost one of many."""
        if once.usage is None or not once.first:
            return
        self.read = 0.9 * self.read + once.usage.prompt_tokens - once.usage.cached_tokens
        self.reading_s = 0.9 * self.reading_s + once.first - once.begun
        self.written = 0.9 * self.written + max(0, once.usage.answer_tokens - 1)
        self.writing_s = 0.9 * self.writing_s + once.ended - once.first

    def speeds(self) -> dict[str, float | None]:
        """Return both speeds in tokens a second; waiting in a queue counts as reading."""
        return {
            "tokens_per_second": self.written / self.writing_s if self.writing_s else None,
            "prompt_tokens_per_second": self.read / self.reading_s if self.reading_s else None,
        }


class ServingGenerator:
    """A Generator and Scorer. Closing the one it stands for is its owner's affair."""

    def __init__(self, generator: Generator, observer: Observer) -> None:
        self._generator = generator
        self._observer = observer
        self._here = threading.local()
        self._pieces: dict[int, bytes] = {}  # as many as the vocabulary has at most
        self._pace = Pace()

    @property
    def itself(self) -> Generator:
        """The generator it stands for."""
        return self._generator

    @property
    def name(self) -> str:
        """The model's name."""
        return self._now().name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._now().capabilities

    @property
    def context_size(self) -> int:
        """Tokens of the window."""
        return self._now().context_size

    @contextmanager
    def serving(
        self,
        manner: Serving,
        *,
        other: Generator | None = None,
        asked: list[AskedOnce] | None = None,
    ) -> Iterator[None]:
        """Serve what this thread asks for in this manner, where the generator knows manners.

        Args:
            other: Serves in place of the one this stands for.
            asked: Gathers what the generator is asked, as it is asked.
        """
        generator = other or self._generator
        served = getattr(generator, "served", None)
        if served is not None:
            generator = served(
                priority="background" if manner.background else "interactive",
                client=manner.client,
                deadline_s=manner.deadline_s,
                cancel=manner.cancel,
            )
        self._here.generator, self._here.asked = generator, asked
        try:
            yield
        finally:
            self._here.generator = self._here.asked = None

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become."""
        return self._now().count_tokens(messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer as it comes."""
        stream = self._now().stream(messages, sampling=sampling, tools=tools, grammar=grammar)
        told = self._observer.generation(self.name, messages, sampling, stream)
        return _noted(told, AskedOnce("write", tuple(messages), time.monotonic()), self._keep)

    def logprobs(
        self, messages: Sequence[Message], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Return the log-probability of each token of each continuation as the next reply.

        Raises:
            UnsupportedCapability: The generator does not tell.
        """
        scorer: Any = self._now()
        if not hasattr(scorer, "logprobs"):
            raise UnsupportedCapability(f"{self.name!r} does not tell log-probabilities")
        begun = time.monotonic()
        found: list[list[float]] = scorer.logprobs(messages, continuations)
        asked: list[AskedOnce] | None = getattr(self._here, "asked", None)
        if asked is not None:
            asked.append(AskedOnce("score", tuple(messages), begun, time.monotonic()))
        return found

    def attribute(
        self,
        messages: Sequence[Message],
        parts: Sequence[PromptPart],
        answer: str,
        *,
        exact: bool = False,
    ) -> Influence:
        """Return how likely an answer is as the next reply, with and without each part.

        Raises:
            UnsupportedCapability: The generator does not tell.
        """
        now = self._now()
        if not isinstance(now, Attributor):
            raise UnsupportedCapability(f"{self.name!r} does not tell what made an answer likely")
        return now.attribute(messages, parts, answer, exact=exact)

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Return the bytes of tokens.

        Raises:
            UnsupportedCapability: The generator shows no tokens.
        """
        source: Any = self._generator
        if not hasattr(source, "pieces"):
            raise UnsupportedCapability(f"{self.name!r} shows no tokens: no logprobs")
        new = [token for token in tokens if token not in self._pieces]
        if new:
            self._pieces.update(zip(new, source.pieces(new), strict=True))
        return [self._pieces[token] for token in tokens]

    def speeds(self) -> dict[str, float | None]:
        """Return tokens a second, written and read, of late; None before the first answer."""
        return self._pace.speeds()

    def _keep(self, once: AskedOnce) -> None:
        self._pace.take(once)
        asked: list[AskedOnce] | None = getattr(self._here, "asked", None)
        if asked is not None:
            asked.append(once)

    def _now(self) -> Generator:
        return getattr(self._here, "generator", None) or self._generator


def _noted(
    stream: Iterator[Delta], once: AskedOnce, keep: Callable[[AskedOnce], None]
) -> Iterator[Delta]:
    try:
        for delta in stream:
            if not once.first and (delta.text or delta.reasoning):
                once.first = time.monotonic()
            once.usage = delta.usage or once.usage
            yield delta
    finally:
        once.ended = time.monotonic()
        keep(once)
