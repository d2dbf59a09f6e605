"""The local generator of ragstack as a contestant, with or without guesses.

Run by the bench: ``python -m ragstack_evals.contest.play_ragstack``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from ragstack.engine.model import Model
from ragstack.generate.local import LocalGenerator
from ragstack.types import JsonSchema, Message, Sampling, Usage
from ragstack_evals.contest.player import Ask, Player, Setup, Used, serve

__all__ = ["Ragstack"]


class Ragstack(Player):
    """Messages in, deltas out, as an application calls it."""

    def __init__(self) -> None:
        self._generator: LocalGenerator | None = None
        self._without_ends: dict[int, float] = {}

    def open(self, setup: Setup) -> None:
        """Load the model, and the one that guesses."""
        model = Model(Path(setup.model))
        self._without_ends = dict.fromkeys(model.vocabulary.ends, float("-inf"))
        model.close()
        options: dict[str, Any] = {"draft": setup.draft} if setup.draft else {}
        self._generator = LocalGenerator(
            model=setup.model,
            threads=setup.threads,
            streams=setup.streams,
            speculate=setup.speculate,
            **options,
        )
        self._generator.count("The first use loads it.")

    def stream(self, ask: Ask) -> Generator[str, None, Used]:
        """Yield the text of the deltas."""
        sampling = Sampling(
            max_tokens=ask.tokens, logit_bias=self._without_ends if ask.endless else {}
        )
        grammar = None if ask.schema is None else JsonSchema(ask.schema)
        messages = [Message(each["role"], each["content"]) for each in ask.messages]  # type: ignore[arg-type]
        used, generator = Usage(), self._open()
        if ask.background:
            generator = generator.served(priority="background")
        for delta in generator.stream(messages, sampling=sampling, grammar=grammar):
            yield delta.text
            used = delta.usage or used
        return Used(used.prompt_tokens, used.cached_tokens, used.answer_tokens)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""
        return [self._open().count(text) for text in texts]

    def facts(self) -> dict[str, Any]:
        """Return what the scheduler took a step, and how guesses went."""
        totals = self._open().stats().totals
        return {
            "step_ms": 1e3 * totals.own_s / max(1, totals.steps),
            "guessed": totals.guessed,
            "right": totals.right,
        }

    def close(self) -> None:
        """Give the memory back."""
        if self._generator is not None:
            self._generator.close()
            self._generator = None

    def _open(self) -> LocalGenerator:
        assert self._generator is not None
        return self._generator


if __name__ == "__main__":
    serve(Ragstack())
