"""llama.cpp's own calls in the plainest batched loop: what there is to reach, and no more.

Reads all prompts, as many tokens a step as fit, then writes one token of each a step. No queue, no
cache, no grammar, no text. Run by the bench: ``python -m ragstack_evals.contest.play_bare``.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.model import Model
from ragstack_evals.contest.player import Ask, Heard, Player, Setup, Used, serve

__all__ = ["Bare", "steps"]


class Bare(Player):
    """A loop over ``llama_decode``."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._threads = 0

    def open(self, setup: Setup) -> None:
        """Load the weights; each measurement makes a context of its own, outside its time."""
        self._model = Model(Path(setup.model))
        self._threads = setup.threads

    def stream(self, ask: Ask) -> Generator[str, None, Used]:
        """Not done: there is no text in it."""
        raise NotImplementedError("the bare loop is measured by whole crowds")

    def together(self, asks: Sequence[Ask]) -> tuple[float, list[Heard]]:
        """Read all, then write all."""
        assert self._model is not None
        prompts = [self._tokens(ask) for ask in asks]
        size = max(512, sum(len(p) + ask.tokens for p, ask in zip(prompts, asks, strict=True)))
        options = Options(
            size=size, threads=self._threads, streams=len(asks), kept=1, outputs=len(asks) + 1
        )
        context = Context(self._model, options)
        context.decode([Piece(0, 0, prompts[0][:1], rows=1)])  # the first step prepares the graph
        context.clear()
        try:
            return _play(context, prompts, max(ask.tokens for ask in asks))
        finally:
            context.close()

    def close(self) -> None:
        """Give the memory back."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def _tokens(self, ask: Ask) -> list[int]:
        assert self._model is not None
        marked = "".join(
            f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in ask.messages
        )
        return self._model.vocabulary.tokenize(f"{marked}<|im_start|>assistant\n", special=True)


def steps(lengths: Sequence[int], batch: int) -> list[list[tuple[int, int, int]]]:
    """Return the steps that read prompts one behind the other: (prompt, from, to) of each piece."""
    found: list[list[tuple[int, int, int]]] = [[]]
    room = batch
    for number, length in enumerate(lengths):
        at = 0
        while at < length:
            if not room:
                found.append([])
                room = batch
            end = min(length, at + room)
            found[-1].append((number, at, end))
            room -= end - at
            at = end
    return found


def _play(
    context: Context, prompts: Sequence[Sequence[int]], answer: int
) -> tuple[float, list[Heard]]:
    heard = [Heard(used=Used(len(prompt), 0, answer)) for prompt in prompts]
    tokens = [0] * len(prompts)
    begun = time.perf_counter()
    for step in steps([len(prompt) for prompt in prompts], context.limits.batch):
        ends = [end == len(prompts[number]) for number, _, end in step]
        context.decode(
            [
                Piece(number, at, prompts[number][at:end], rows=int(last))
                for (number, at, end), last in zip(step, ends, strict=True)
            ]
        )
        row = -1
        for (number, at, end), last in zip(step, ends, strict=True):
            row += end - at
            if last:
                tokens[number] = int(np.argmax(context.logits(row)))
                heard[number].first_s = time.perf_counter() - begun
    before = begun + max(each.first_s for each in heard)
    for place in range(answer - 1):
        context.decode(
            [Piece(n, len(prompts[n]) + place, [token], rows=1) for n, token in enumerate(tokens)]
        )
        tokens = [int(np.argmax(context.logits(n))) for n in range(len(tokens))]
        now = time.perf_counter()
        for each in heard:
            each.gaps.append(now - before)
        before = now
    took = time.perf_counter() - begun
    for each in heard:
        each.took_s = took
    return took, heard


if __name__ == "__main__":
    serve(Bare())
