"""Seams of generation: generators, scorers, tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ragstack.types import Delta, Grammar, Influence, Message, PromptPart, Sampling, ToolSpec

__all__ = ["Attributor", "Capabilities", "Generator", "Scorer", "Tool"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can do. A caller asks for what it needs and gets a clear error otherwise.

    Attributes:
        grammars: Kinds it can enforce: ``json_schema``, ``regex``, ``lark``, ``quote``.
        logprobs: It is a Scorer too.
        attribution: It is an Attributor too.
        streams: How many streams run at once without waiting for each other.
    """

    grammars: frozenset[str] = frozenset()
    tools: bool = False
    images: bool = False
    logprobs: bool = False
    attribution: bool = False
    adapters: bool = False
    streams: int = 1


class Generator(Protocol):
    """Messages in, Deltas out. Safe to call from many threads."""

    @property
    def name(self) -> str:
        """The model's name, as a person would write it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def context_size(self) -> int:
        """Tokens of the window: prompt and answer together."""
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact length of the prompt these messages become, template and all."""
        ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer as it comes; the last delta has ``finish`` and ``usage``.

        Closing the iterator stops the work. No text in a message can become a control token.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit; raised before the first delta.
            UnsupportedCapability: Tools, grammar or images it cannot do; before the first delta.
            GrammarError: The grammar cannot be compiled; before the first delta.
        """
        ...


class Scorer(Protocol):
    """How likely a generator finds a text. A remote may lack it."""

    def logprobs(
        self, messages: Sequence[Message], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Return natural log-probabilities of each continuation's tokens as the next reply."""
        ...


@runtime_checkable
class Attributor(Protocol):
    """What parts of a prompt do for a reply. A remote may lack it."""

    def attribute(
        self,
        messages: Sequence[Message],
        parts: Sequence[PromptPart],
        answer: str,
        *,
        exact: bool = False,
    ) -> Influence:
        """Return how likely the answer is as the next reply, with and without each part.

        Args:
            exact: Read each prompt anew; else what was read may serve, with the part forgotten.
                A generator that cannot forget reads anew, and says so.

        Raises:
            ContextOverflow: Prompt and answer do not fit.
            InputError: There is no answer, or a part is empty or out of range.
        """
        ...


class Tool(Protocol):
    """Something an agent can do."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and parameters, as the generator sees them."""
        ...

    def __call__(self, **arguments: object) -> str:
        """Return what the generator shall read.

        Raises:
            InputError: The arguments cannot be used; the message goes back to the generator.
        """
        ...
