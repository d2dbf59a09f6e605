"""Logits in, one token out. Knows nothing of the model they came from.

The order: logit bias, penalties, temperature; then mirostat, or top-k, typical, top-p and min-p,
each of what the one before has left. docs/concepts/sampling.md has the formulas' sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.candidates import Indices, Row, Weights, best_of, total
from ragstack.engine.drawing import AtLeast, Cut, Mass, Wheel, draw_of, kept_by
from ragstack.engine.mirostat import SurpriseControl
from ragstack.engine.penalties import Penalties
from ragstack.engine.sampling_checks import check_sampling
from ragstack.engine.typical import Typical
from ragstack.errors import GenerationError, InputError
from ragstack.types import Sampling, TokenLogprob

__all__ = ["Sampler", "check_sampling", "log_probability", "logprobs_of"]

# Colder, the next best logit that float32 can tell apart weighs nothing already; hotter, all weigh
# the same. Beyond, float32 would make infinities and zeros of them.
_COLDEST, _HOTTEST = 1e-6, 1e30


class Sampler:
    """Draws the tokens of one text. Greedy at temperature 0; else the same seed draws the same."""

    def __init__(
        self,
        sampling: Sampling,
        prompt_tokens: Sequence[int] = (),
        *,
        piece: Callable[[int], bytes] | None = None,
    ) -> None:
        """Check the settings and begin a text.

        Args:
            prompt_tokens: What stands before it, for the repetition penalty and DRY.
            piece: The bytes of a token (``Vocabulary.piece``), for DRY's breakers.

        Raises:
            InputError: One is out of range, or DRY has breakers and there is no ``piece``.
        """
        check_sampling(sampling)
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._biased = np.fromiter(sampling.logit_bias, np.intp, len(sampling.logit_bias))
        self._bias = np.array(list(sampling.logit_bias.values()), np.float32)
        self._penalties = Penalties(sampling, piece)
        if not self._penalties.idle:
            for token in prompt_tokens:
                self._penalties.read(token)
        self._control = None if sampling.mirostat is None else SurpriseControl(sampling.mirostat)
        self._drawn = (-1, 0.0)  # the last token and its surprise, for mirostat
        self._greedy = sampling.temperature == 0.0 or sampling.top_k == 1
        self._rooms = [np.empty(0, np.float32) for _ in range(3)]
        self._forbidden = frozenset[int]()
        if self._penalties.idle and all(each < 0 for each in sampling.logit_bias.values()):
            self._forbidden = frozenset(sampling.logit_bias)  # or made less likely
        self._logits: Row | None = None  # of the last draw, where nothing else was looked at
        self._row = self._rooms[2]

    def draw(self, logits: Row) -> int:
        """Return the next token; the text has it only once it is given to ``accept``.

        Raises:
            GenerationError: No token has a finite logit: the model is broken, or all are forbidden.
            InputError: A token of ``logit_bias`` is not in the vocabulary.
        """
        if self._forbidden and self._greedy:
            best = int(logits.argmax())
            if best not in self._forbidden and math.isfinite(logits[best]):
                self._logits = logits  # the others have only become less
                return best
        row = self._row = self._changed(logits, self._own)
        self._logits = None
        best = int(row.argmax())
        if not math.isfinite(row[best]):
            row = _finite(row)
            best = int(row.argmax())
        if self._greedy:
            return best
        tokens, wheel, cuts = self._left(row, row[best])
        place = draw_of(wheel, cuts, self._random.random)
        token = place if tokens is None else int(tokens[place])
        if self._control is not None:
            self._drawn = (token, math.log2(wheel.whole / float(wheel.weights[place])))
        return token

    @property
    def row(self) -> Row:
        """What the last draw chose from, after bias and penalties; gone with the next."""
        if self._logits is not None:
            self._row, self._logits = self._changed(self._logits, self._own), None
        return self._row

    def accept(self, token: int) -> None:
        """Take the token that the text goes on with, drawn or forced."""
        if not self._penalties.idle:
            self._penalties.accept(token)
        if self._control is not None and token == self._drawn[0]:
            self._control.learn(self._drawn[1])
            self._drawn = (-1, 0.0)  # forced tokens of the same id teach nothing

    def adjusted(self, logits: Row) -> Row:
        """Return the logits after bias and penalties; the same array where there are none.

        Raises:
            InputError: A token of ``logit_bias`` is not in the vocabulary.
        """
        return self._changed(logits, np.empty_like)

    def _changed(self, logits: Row, room: Callable[[Row], Row]) -> Row:
        """Return the logits after bias and penalties, in memory that ``room`` gives for as many."""
        if not len(self._biased) and self._penalties.idle:
            return logits
        row = room(logits)
        np.copyto(row, logits)
        if len(self._biased):
            if int(self._biased.max()) >= len(row):
                check_sampling(self._sampling, vocabulary=len(row))
            row[self._biased] += self._bias
        self._penalties.apply(row)
        return row

    def distribution(self, logits: Row) -> tuple[Indices, NDArray[np.float64]]:
        """Return the tokens that ``draw`` may return and their probabilities; draws none.

        Raises:
            GenerationError: No token has a finite logit.
        """
        row = _finite(self.adjusted(logits))
        best = int(np.argmax(row))
        if self._greedy:
            return np.array([best]), np.ones(1)
        tokens, wheel, cuts = self._left(row, row[best])
        weights = wheel.weights
        if cuts:
            tokens, weights = _take(tokens, weights, kept_by(cuts))
        found = np.arange(len(weights)) if tokens is None else tokens
        some = weights > 0.0
        shares = weights[some].astype(np.float64)
        return found[some], shares / shares.sum()

    def _scaled(self, row: Row, best: np.float32) -> tuple[Indices | None, Row]:
        """Return the tokens that are left, None for all, and ``(logit - best) / temperature``.

        Top-k: Fan et al. 2018 (arXiv 1805.04833).
        """
        settings = self._sampling
        tokens: Indices | None = None
        temperature = min(max(settings.temperature, _COLDEST), _HOTTEST)
        if 0 < settings.top_k < len(row):
            tokens = best_of(row, settings.top_k)
        elif settings.min_p > 0.0 and settings.top_p == settings.typical_p == 1.0:
            # The same as further down, without a look at what all weigh.
            tokens = np.flatnonzero(row >= best + temperature * math.log(settings.min_p))
        with np.errstate(over="ignore"):  # to minus infinity, of weight 0
            some = row if tokens is None else row[tokens]
            scaled = np.subtract(some, best, out=self._room(0, len(some)))
            scaled *= np.float32(1.0 / temperature)
        return tokens, scaled

    def _left(self, row: Row, best: np.float32) -> tuple[Indices | None, Wheel, list[Cut]]:
        """Return tokens, None for all, what each weighs beside the best, and what cuts them.

        Top-p: Holtzman et al. 2019 (arXiv 1904.09751), the fewest tokens of at least this mass.
        Min-p: Nguyen et al. 2024 (arXiv 2407.01082), all of at least this share of the likeliest.
        """
        settings = self._sampling
        tokens, scaled = self._scaled(row, best)
        if self._control is not None:
            weights = np.exp(scaled, out=scaled)
            wheel = Wheel(weights)
            return tokens, wheel, [self._control.cut(weights, wheel.whole)]
        if settings.typical_p < 1.0:
            weights = np.exp(scaled, out=self._room(1, len(scaled)))
            wheel = Wheel(weights)
            typical = Typical(scaled, weights, settings.typical_p * wheel.whole, wheel.whole)
            if settings.top_p == 1.0 and settings.min_p == 0.0:
                return tokens, wheel, [typical]
            # The others see what this one has left.
            tokens, weights = _take(tokens, weights, typical.kept())
        else:
            weights = np.exp(scaled, out=scaled)
        wheel, cuts = Wheel(weights), list[Cut]()
        if settings.top_p < 1.0:
            cuts.append(Mass(weights, settings.top_p * wheel.whole))
        if settings.min_p > 0.0:
            cuts.append(AtLeast(weights, settings.min_p * float(weights.max())))
        return tokens, wheel, cuts

    def _own(self, like: Row) -> Row:
        return self._room(2, len(like))

    def _room(self, which: int, size: int) -> Row:
        """Return memory to work in: fresh memory costs more than what is done with it."""
        if len(self._rooms[which]) < size:
            self._rooms[which] = np.empty(size, np.float32)
        return self._rooms[which][:size]


def log_probability(logits: Row, token: int) -> float:
    """Return the natural log-probability of a token, within 1e-6."""
    return float(logits[token]) - _log_total(logits)


def logprobs_of(logits: Row, token: int, alternatives: int = 0) -> TokenLogprob:
    """Return a token's log-probability and those of the likeliest tokens, best first.

    They are the model's own: of the logits as they came, before bias, penalties and temperature.

    Raises:
        InputError: The token is not in the vocabulary.
    """
    if not 0 <= token < len(logits):
        raise InputError(f"no token has the id {token!r}; ids are 0 to {len(logits) - 1}")
    total = _log_total(logits)
    best = best_of(logits, alternatives) if alternatives else ()
    return TokenLogprob(
        token,
        float(logits[token]) - total,
        tuple((int(other), float(logits[other]) - total) for other in best),
    )


def _log_total(logits: Row) -> float:
    best = logits.max()
    return float(best) + math.log(total(np.exp(logits - best)))


def _take(tokens: Indices | None, weights: Weights, kept: Indices) -> tuple[Indices, Weights]:
    return kept if tokens is None else tokens[kept], weights[kept]


def _finite(row: Row) -> Row:
    finite = np.isfinite(row)
    if not finite.any():
        raise GenerationError(
            "there is no finite logit: all tokens are forbidden, or the model's file is damaged"
        )
    return np.where(finite, row, np.float32(-np.inf))
