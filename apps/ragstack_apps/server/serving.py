"""One generator in, the same one out as a request's own thread sees it: its client and its end.

A Stack holds one generator for all; what is said here holds for the thread that says it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ragstack.errors import UnsupportedCapability
from ragstack.protocols import Capabilities, Generator
from ragstack.types import Delta, Grammar, Message, Sampling, ToolSpec
from ragstack_apps.server.guard.observer import Observer

__all__ = ["ServingGenerator"]


class ServingGenerator:
    """A Generator and Scorer. Closing the one it stands for is its owner's affair."""

    def __init__(self, generator: Generator, observer: Observer) -> None:
        self._generator = generator
        self._observer = observer
        self._here = threading.local()
        self._pieces: dict[int, bytes] = {}  # as many as the vocabulary has at most

    @property
    def name(self) -> str:
        """The model's name."""
        return self._generator.name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._generator.capabilities

    @property
    def context_size(self) -> int:
        """Tokens of the window."""
        return self._generator.context_size

    @contextmanager
    def serving(
        self, *, client: str, background: bool, deadline_s: float, cancel: threading.Event
    ) -> Iterator[None]:
        """Serve what this thread asks for in this manner, where the generator knows manners."""
        served = getattr(self._generator, "served", None)
        if served is not None:
            self._here.generator = served(
                priority="background" if background else "interactive",
                client=client,
                deadline_s=deadline_s,
                cancel=cancel,
            )
        try:
            yield
        finally:
            self._here.generator = None

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become."""
        return self._generator.count_tokens(messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer as it comes."""
        deltas = self._now().stream(messages, sampling=sampling, tools=tools, grammar=grammar)
        return self._observer.generation(self.name, messages, sampling, deltas)

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
        found: list[list[float]] = scorer.logprobs(messages, continuations)
        return found

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

    def _now(self) -> Generator:
        return getattr(self._here, "generator", None) or self._generator
