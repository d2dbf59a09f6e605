"""Messages in, Deltas out, by the first of several generators whose answer is good enough.

Small and local first, large and far away last. A step's answer is held back until its doubt is
known; the last step streams. Knows generators by their protocol alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ragstack.engine.sampling import check_sampling
from ragstack.errors import (
    Cancelled,
    ConfigError,
    GenerationError,
    InputError,
    ModelError,
    RagstackError,
    UnsupportedCapability,
)
from ragstack.generate.doubt import evidence
from ragstack.generate.privacy import PrivacyRules
from ragstack.generate.steps import Ceiling, Choice, Step, Tried, Watcher, read_steps
from ragstack.protocols import Capabilities, Closeable, Scorer
from ragstack.types import Delta, Grammar, Message, Money, Sampling, ToolSpec, Usage, images_of

__all__ = ["CascadeGenerator"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ask:
    """What one call was given."""

    messages: Sequence[Message]
    sampling: Sampling
    tools: Sequence[ToolSpec]
    grammar: Grammar | None


@dataclass(frozen=True, slots=True)
class _Held:
    """An answer that was held back, and the doubt about it."""

    step: Step
    deltas: Sequence[Delta]
    doubt: float


class CascadeGenerator:
    """A Generator over others, in order: by doubt, cost and privacy. Deterministic where they are.

    ``usage`` of an answer is that of the step it came from; ``watch`` is told what all took.
    """

    def __init__(
        self,
        *,
        steps: Sequence[Step | Mapping[str, Any]],
        local_only: bool = False,
        private: Sequence[str] = (),
        ceiling: Mapping[str, Any] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        """Make the steps that are given as tables; close those with the cascade.

        Args:
            steps: In the order they are asked: a generator's own options and ``use``, and those of
                the step: ``doubt`` (an answer doubted more than this goes on to the next step),
                ``measure`` (``verdict`` or ``logprob``), ``calibration`` (``{ slope, offset }``),
                ``stays_here`` (it runs on this machine).
            local_only: Nothing leaves this machine.
            private: Regular expressions; a conversation that matches one never leaves this machine.
            ceiling: ``{ amount = 0.02, currency = "USD" }``: the most an answer may cost.
            watch: Called with each choice once it is made.

        Raises:
            ConfigError: A step cannot be used, or none is left.
        """
        self._rules = PrivacyRules(private)
        self._ceiling = None if ceiling is None else Ceiling.read(ceiling)
        self._local_only = local_only
        self._watch = watch
        self._steps, self._own = read_steps(steps)
        if not self._allowed(local_only):
            self.close()
            raise ConfigError(
                "no step of the cascade stays on this machine",
                hint="add one that does, or take local_only away",
            )

    @property
    def name(self) -> str:
        """The names of its steps, in order."""
        return " > ".join(step.generator.name for step in self._steps)

    @property
    def context_size(self) -> int:
        """Tokens of the largest window there is."""
        return max(step.generator.context_size for step in self._allowed(self._local_only))

    @property
    def capabilities(self) -> Capabilities:
        """What at least one step can do; one that cannot is passed over."""
        known = [step.generator.capabilities for step in self._allowed(self._local_only)]
        return Capabilities(
            grammars=frozenset().union(*(one.grammars for one in known)),
            tools=any(one.tools for one in known),
            images=any(one.images for one in known),
            streams=min(one.streams for one in known),
        )

    @property
    def stays_here(self) -> bool:
        """Nothing that is asked leaves this machine."""
        return self._local_only or all(step.stays_here for step in self._steps)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the longest prompt that these messages become at any step."""
        allowed = self._allowed(self._local_only)
        if any(map(images_of, messages)):  # a step that reads none cannot count one either
            allowed = [each for each in allowed if each.generator.capabilities.images] or allowed
        return max(step.generator.count_tokens(messages) for step in allowed)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer of the first step that is sure enough, else of the last.

        A step that cannot (window, capability, server down) is passed over. Where a later step
        fails, the least doubted answer so far is given.

        Raises:
            GenerationError: No step could answer; the reason is the last one's.
        """
        check_sampling(sampling)
        if not messages:
            raise InputError("there are no messages to answer")
        return self._deltas(_Ask(tuple(messages), sampling, tuple(tools), grammar))

    def close(self) -> None:
        """Close the steps it made itself. A second call does nothing."""
        for generator in self._own:
            if isinstance(generator, Closeable):
                generator.close()

    def _allowed(self, here: bool) -> list[Step]:
        return [step for step in self._steps if step.stays_here or not here]

    def _deltas(self, ask: _Ask) -> Iterator[Delta]:
        run = _Run(self._permitted(ask), self._watch)
        held: list[_Held] = []
        failed: RagstackError | None = None
        for number, step in enumerate(run.steps):
            final = step.doubt is None or number == len(run.steps) - 1
            try:
                self._afford(step, ask, run.cost)
                if final:
                    first, stream = _begun(step, ask)
                else:
                    answer = _held(step, ask)
            except Cancelled:
                raise
            except (GenerationError, ModelError) as error:
                failed = error
                run.tried.append(Tried(step.generator.name, "failed", error.message))
                continue
            if final:
                yield from run.streamed(step, first, stream)
                return
            run.add(answer)
            if answer.doubt <= cast(float, step.doubt):
                yield from run.given(answer)
                return
            held.append(answer)
        if not held:
            raise failed or UnsupportedCapability("no step of the cascade may answer")
        # No later step could do better: the answer that was doubted least.
        yield from run.given(min(held, key=lambda one: one.doubt))

    def _permitted(self, ask: _Ask) -> tuple[Step, ...]:
        """Return the steps that may see these messages."""
        why = "local_only" if self._local_only else self._rules.keep_here(ask.messages)
        steps = self._allowed(bool(why))
        if not steps:
            raise UnsupportedCapability(
                f"no step stays on this machine, and these messages must: {why}",
                hint="add a local step to the cascade",
            )
        return tuple(steps)

    def _afford(self, step: Step, ask: _Ask, spent: Money | None) -> None:
        """Refuse a step that could cost more than the ceiling leaves."""
        if self._ceiling is None or step.free:
            return
        prompt = step.generator.count_tokens(ask.messages)
        worst = step.cost(Usage(prompt, 0, ask.sampling.max_tokens))
        if why := self._ceiling.broken_by(worst, spent):
            raise UnsupportedCapability(
                f"the step {step.generator.name!r} is passed over: {why}",
                hint="raise the ceiling, or give the price in its prices",
            )


class _Run:
    """What one call has done so far."""

    def __init__(self, steps: tuple[Step, ...], watch: Watcher | None) -> None:
        self.steps = steps
        self.tried: list[Tried] = []
        self.usage = Usage()
        self.cost: Money | None = None
        self._seen: list[_Held] = []
        self._watch = watch

    def add(self, answer: _Held) -> None:
        """Count what a held answer took."""
        self._count(answer.step, answer.deltas[-1].usage)
        self._seen.append(answer)

    def given(self, answer: _Held) -> Iterator[Delta]:
        """Yield an answer that was held back."""
        self._chosen(answer.step, answer.doubt)
        yield from answer.deltas

    def streamed(self, step: Step, first: Delta, rest: Iterator[Delta]) -> Iterator[Delta]:
        """Yield an answer as it comes."""
        yield from self._watched(step, iter((first,)))
        yield from self._watched(step, rest)

    def _watched(self, step: Step, deltas: Iterator[Delta]) -> Iterator[Delta]:
        for delta in deltas:
            if delta.finish is not None:
                self._count(step, delta.usage)
                self._chosen(step, None)
            yield delta

    def _count(self, step: Step, usage: Usage | None) -> None:
        self.usage += usage or Usage()
        cost = step.cost(usage)
        if cost is not None:
            self.cost = cost if self.cost is None else self.cost + cost

    def _chosen(self, step: Step, doubt: float | None) -> None:
        doubted = [
            Tried(one.step.generator.name, "doubted", f"{one.doubt:.3f}")
            for one in self._seen
            if one.step is not step
        ]
        order = [one.generator.name for one in self.steps]
        tried = sorted((*self.tried, *doubted), key=lambda one: order.index(one.name))
        choice = Choice(step.generator.name, doubt, tuple(tried), self.usage, self.cost)
        _logger.debug("cascade: %s", choice)
        if self._watch is not None:
            self._watch(choice)


def _stream(step: Step, ask: _Ask) -> Iterator[Delta]:
    return step.generator.stream(
        ask.messages, sampling=ask.sampling, tools=ask.tools, grammar=ask.grammar
    )


def _begun(step: Step, ask: _Ask) -> tuple[Delta, Iterator[Delta]]:
    """Return a step's first delta and the rest: until here another step could take over."""
    stream = _stream(step, ask)
    for first in stream:
        return first, stream
    raise GenerationError(f"the step {step.generator.name!r} said nothing, not even that it ended")


def _held(step: Step, ask: _Ask) -> _Held:
    """Return a step's whole answer and the doubt about it."""
    deltas = list(_stream(step, ask))
    text = "".join(delta.text for delta in deltas)
    if any(delta.tool_call is not None for delta in deltas):
        return _Held(step, deltas, 0.0)  # a call is judged by what the tool says
    if not text.strip():
        return _Held(step, deltas, 1.0)
    try:
        seen = evidence(cast(Scorer, step.generator), ask.messages, text, step.measure)
    except Cancelled:
        raise
    except GenerationError as error:
        # The question about the answer is longer than the answer's own, and may not fit.
        _logger.warning("%s cannot judge its answer: %s", step.generator.name, error.message)
        return _Held(step, deltas, 1.0)
    return _Held(step, deltas, step.calibration.doubt(seen))
