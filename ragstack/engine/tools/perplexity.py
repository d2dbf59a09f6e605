"""How well a model foretells a text, and how much two models agree. Rows of logits in, numbers out.

``Rows`` is any function that reads tokens from the beginning and yields the float32 logits after
each, in order: an engine, a context of its own, a test's arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import GenerationError, InputError

__all__ = ["WINDOW", "Agreement", "Likelihood", "Row", "Rows", "agreement", "likelihood"]

Row = NDArray[np.float32]
Rows = Callable[[Sequence[int]], Iterator[Row]]

WINDOW = 512
"""Tokens read together by default; a longer text is cut into pieces of so many."""

_LEAST = -1e4  # stands for the log-probability of a token that the other forbids


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a text is to a model.

    Attributes:
        nats: Minus the sum of the natural log-probabilities of the scored tokens.
        tokens: How many were scored.
        characters: How many characters they stand for.
    """

    nats: float
    tokens: int
    characters: float

    @property
    def perplexity(self) -> float:
        """Exponential of the mean loss a token; compares models of one vocabulary only."""
        return math.exp(min(self.nats / self.tokens, 700.0))

    @property
    def bits_per_character(self) -> float:
        """Bits a character, which compares any two models on one text."""
        return self.nats / math.log(2.0) / self.characters


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near one model's next-token distributions are to another's.

    Attributes:
        first: How likely the text is to the first model; ``second`` likewise.
        divergence: Mean Kullback-Leibler divergence in nats, of the second from the first:
            the mean over places of sum p log(p/q), p the first model's.
        top_1: Share of places where both put the same token first.
    """

    first: Likelihood
    second: Likelihood
    divergence: float
    top_1: float


def likelihood(
    rows: Rows,
    tokens: Sequence[int],
    *,
    characters: int,
    begin: int | None = None,
    window: int = WINDOW,
) -> Likelihood:
    """Return how likely a text is.

    Args:
        characters: Length of the text that the tokens are.
        begin: Token put before each piece, most often the mark of a text's beginning. Without it
            the first token of each piece is not scored, and of the characters its share is left
            out.
        window: Tokens read together, ``begin`` among them.

    Raises:
        InputError: There is nothing to score.
        GenerationError: The model gave too few rows, or a logit that is no number.
    """
    nats, scored = 0.0, 0
    for piece in _pieces(tokens, begin, window):
        for row, token in _foretold(rows, piece):
            nats -= float(_log_softmax(row)[token])
            scored += 1
    return Likelihood(nats, scored, characters * scored / len(tokens))


def agreement(
    rows: Rows,
    other: Rows,
    tokens: Sequence[int],
    *,
    characters: int,
    begin: int | None = None,
    window: int = WINDOW,
) -> Agreement:
    """Return how near the other's distributions are to the first's, at each place of a text.

    The arguments are those of ``likelihood``; both models are read once.

    Raises:
        InputError: There is nothing to compare, or the vocabularies differ in size.
        GenerationError: A model gave too few rows, or a logit that is no number.
    """
    nats, divergence, same, places = [0.0, 0.0], 0.0, 0, 0
    for piece in _pieces(tokens, begin, window):
        pairs = zip(_foretold(rows, piece), _foretold(other, piece), strict=True)
        for (first, token), (second, _) in pairs:
            if first.shape != second.shape:
                raise InputError(
                    f"the vocabularies have {len(first)} and {len(second)} tokens, "
                    "expected one vocabulary"
                )
            p, q = _log_softmax(first), _log_softmax(second)
            nats[0] -= float(p[token])
            nats[1] -= float(q[token])
            divergence += _divergence(p, q)
            same += int(np.argmax(first) == np.argmax(second))
            places += 1
    length = characters * places / len(tokens)
    one, two = (Likelihood(loss, places, length) for loss in nats)
    return Agreement(one, two, divergence / places, same / places)


def _pieces(tokens: Sequence[int], begin: int | None, window: int) -> list[list[int]]:
    if window < 2:
        raise InputError(f"window is {window}, expected at least 2")
    mark = [] if begin is None else [begin]
    step = window - len(mark)
    pieces = [mark + list(tokens[i : i + step]) for i in range(0, len(tokens), step)]
    pieces = [piece for piece in pieces if len(piece) > 1]
    if not pieces:
        raise InputError(f"a text of {len(tokens)} tokens has nothing to foretell")
    return pieces


def _foretold(rows: Rows, piece: Sequence[int]) -> Iterator[tuple[Row, int]]:
    """Yield the row before each token but the first, and that token."""
    given = rows(piece)
    for token in piece[1:]:
        row = next(given, None)
        if row is None:
            raise GenerationError(f"the model gave too few rows for {len(piece)} tokens")
        yield row, token


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return sum p log(p/q) of log-probabilities; a token that p forbids adds nothing."""
    held = np.isfinite(p)
    p, q = p[held], np.maximum(q[held], _LEAST)
    return max(float(np.sum(np.exp(p) * (p - q))), 0.0)  # below 0 by rounding alone


def _log_softmax(row: Row) -> NDArray[np.float64]:
    """Return log-probabilities, in float64: the sum over 150,000 tokens needs it."""
    values = row.astype(np.float64)
    best = float(values.max())
    if not math.isfinite(best):
        raise GenerationError("the model gives no finite logit; its file is probably damaged")
    values -= best
    return np.asarray(values - math.log(float(np.exp(values).sum())))
