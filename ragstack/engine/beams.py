"""A prompt in, the likeliest texts out: a beam search, all beams read in one batch.

Knows tokens and their probabilities; what a token stands for is for the caller to know.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ragstack.engine.context import Row
from ragstack.engine.engine import Engine, Manner
from ragstack.engine.sampling import Sampler
from ragstack.engine.tiles import rows_before
from ragstack.errors import DeadlineExceeded, GenerationError
from ragstack.types import Sampling

__all__ = ["BeamSearch", "Hypothesis", "beam_search", "length_score"]

_PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text that was found.

    Attributes:
        tokens: Without the one that ended it.
        logprob: Sum of the natural log-probabilities of its tokens, its end's too.
        score: ``length_score`` of that; what hypotheses are compared by.
        finish: ``stop`` or ``length``.
    """

    tokens: tuple[int, ...]
    logprob: float
    score: float
    finish: str


@dataclass(frozen=True, slots=True)
class _Beam:
    tokens: tuple[int, ...] = ()
    logprob: float = 0.0


def length_score(logprob: float, length: int, penalty: float) -> float:
    """Return a log-probability divided by the length to a power.

    This is the simple form that Hugging Face's transformers has (``BeamHypotheses.add``), not the
    ``((5 + length) / 6) ** penalty`` of Wu et al. 2016 (arXiv 1609.08144, section 7), which it
    comes from: 0 is the plain sum, 1 the mean.

    Args:
        length: Tokens of the text, the one that ends it too.
    """
    return logprob / math.pow(max(length, 1), penalty)


def beam_search(
    engine: Engine,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    ends: frozenset[int] | None = None,
    manner: Manner = _PLAIN,
) -> list[Hypothesis]:
    """Return the best finished texts, best first, at most ``sampling.beams`` of them.

    Raises:
        As ``BeamSearch``.
    """
    search = BeamSearch(engine, prompt, sampling, ends=ends, manner=manner)
    while search.step():
        pass
    return search.found


class BeamSearch:
    """A search at work, to be driven step by step.

    Every step keeps the ``beams`` likeliest texts that go on; texts that end are set aside. It is
    over when ``beams`` texts are aside and no other, taken at its present length, scores better
    than the worst of those, or when the texts are ``max_tokens`` long.

    Attributes:
        cached: Prompt tokens that were not read again.
        found: The texts set aside, best first.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        ends: frozenset[int] | None = None,
        complete: Callable[[Sequence[int]], bool] | None = None,
        manner: Manner = _PLAIN,
    ) -> None:
        """Begin with nothing read.

        Args:
            sampling: ``beams``, ``max_tokens``, ``length_penalty`` and ``logit_bias`` count.
            ends: Tokens that end a text; None is the model's own.
            complete: Whether a text is at its end though no such token has come.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit.
            InputError: A setting or a token is out of range.
        """
        self._tiles = engine.check(prompt, sampling)  # held, so that no step misses them
        self.cached = 0
        self.found: list[Hypothesis] = []
        self._engine = engine
        self._prompt = tuple(prompt)
        self._sampling = sampling
        self._sampler = Sampler(Sampling(logit_bias=sampling.logit_bias))
        self._ends = engine.model.vocabulary.ends if ends is None else ends
        self._complete = complete
        self._manner = manner
        self._live = [_Beam()]
        self._length = 0
        self._began: float | None = None

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the cache that the prompt fills, and those that were not read again."""
        length, tiles = len(self._prompt), self._tiles
        return rows_before(length, tiles), rows_before(self.cached, tiles)

    def step(self) -> bool:
        """Read one token more of every beam; return whether there is more to do.

        Raises:
            DeadlineExceeded: It took longer than the manner allows, over all steps.
            EngineBusy: Too many requests wait.
            GenerationError: No token can follow; or the engine failed.
        """
        if self._length >= self._sampling.max_tokens:
            self._set_aside(self._live, "length")
            return False
        candidates = self._candidates()
        self._length += 1
        ended = [beam for beam in candidates if beam.tokens[-1] in self._ends]
        going = [beam for beam in candidates if beam.tokens[-1] not in self._ends]
        self._set_aside(ended, "stop")
        self._live = heapq.nlargest(self._sampling.beams, going, key=lambda beam: beam.logprob)
        if self._complete is not None:
            done = [beam for beam in self._live if self._complete(beam.tokens)]
            self._live = [beam for beam in self._live if beam not in done]
            self._set_aside(done, "stop")
        return bool(self._live) and not self._settled()

    def _candidates(self) -> list[_Beam]:
        """Return every beam with each token that may follow it."""
        prompts = [(*self._prompt, *beam.tokens) for beam in self._live]
        sampling = self._sampling
        # With so many, each beam alone could fill the next step, whatever ends.
        alternatives = sampling.beams + len(self._ends)
        jobs = self._engine.look(prompts, alternatives, manner=self._timed(), adjust=self._biased)
        if not self._length:
            self.cached = jobs[0].cached
        return [
            _Beam((*beam.tokens, token), beam.logprob + logprob)
            for beam, job in zip(self._live, jobs, strict=True)
            for token, logprob in job.found or ()
            if math.isfinite(logprob)
        ]

    def _biased(self, row: Row) -> Row:
        row = self._sampler.adjusted(row)
        if not np.isfinite(row.max()):
            raise GenerationError("every token is forbidden, or the model's file is damaged")
        return row

    def _timed(self) -> Manner:
        """Return the manner with what is left of its deadline."""
        limit = self._manner.deadline_s
        if limit is None:
            return self._manner
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        left = limit - (now - self._began)
        if left <= 0:
            raise DeadlineExceeded(f"it took longer than the {limit} s it was given")
        return replace(self._manner, deadline_s=left)

    def _set_aside(self, beams: Sequence[_Beam], finish: str) -> None:
        penalty = self._sampling.length_penalty
        for beam in beams:
            score = length_score(beam.logprob, len(beam.tokens), penalty)
            last = beam.tokens[-1:]
            tokens = beam.tokens[:-1] if last and last[0] in self._ends else beam.tokens
            self.found.append(Hypothesis(tokens, beam.logprob, score, finish))
        self.found.sort(key=lambda each: -each.score)
        del self.found[self._sampling.beams :]

    def _settled(self) -> bool:
        if len(self.found) < self._sampling.beams:
            return False
        best = max(beam.logprob for beam in self._live)
        attainable = length_score(best, self._length, self._sampling.length_penalty)
        return self.found[-1].score >= attainable
