"""Text so far in, what a smaller model thinks comes next out. It is always checked by the larger.

The draft model has a context of its own (Leviathan et al., arXiv:2211.17192). Whether it is asked
follows from what its tokens cost, what it costs to check them, and how often they were right.
All of it but making a stream belongs to the engine's thread.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragstack.engine.context import Context, Options, Piece, Row
from ragstack.engine.costs import Costs, Room
from ragstack.engine.draft_check import check_pair, measure, needed
from ragstack.engine.guard import Limits
from ragstack.engine.model import Model
from ragstack.engine.sequences import Sequences, common_prefix
from ragstack.errors import GenerationError

__all__ = ["DraftModel", "DraftOptions", "DraftReport", "DraftStream"]

_logger = logging.getLogger(__name__)

_LIVE = 2  # requests at work beyond which one step is worth more than a guess
_KEPT = 6  # sequences kept for prompts that begin alike
_MOST = 15  # guesses: with the token before them a step of 16
_BELIEF = 0.75  # how likely a guess is right before any was made
_RETRY = 16  # every so many requests the belief is set back to that
_SMOOTHING, _SLOW = 0.8, 0.95
_STALL_S = 0.5  # longest stretch of a prompt that is read between two steps of the target
_NEAR = 32  # tokens behind which reading them is no matter
_TYPICAL = 128.0  # tokens of an answer before any was written
_READING = 128


@dataclass(frozen=True, slots=True)
class DraftOptions:
    """Which model drafts, and how it runs.

    Attributes:
        threads: 0 is one for each physical core.
        costs: A file that keeps what its steps cost on this machine.
    """

    path: Path
    threads: int = 0
    gpu_layers: int = -1
    costs: Path | None = None


@dataclass(frozen=True, slots=True)
class DraftReport:
    """What a draft model did, and whether it pays.

    Attributes:
        active: Whether it is used where it promises to gain; else ``message`` says why not.
        guessed: Tokens it guessed, ``right`` of them rightly.
        rate: How likely its next greedy guess is right.
        needed: The rate from which on it gains a tenth for one stream; None where none would do.
        token_s: Seconds that a token of it takes.
    """

    model: str
    active: bool
    message: str
    guessed: int
    right: int
    rate: float
    needed: float | None
    token_s: float


class DraftModel:
    """A small model that guesses for a large one.

    Attributes:
        off: Why it is not used; empty while it is.
        token_s: Seconds that one token of it takes.
        typical: Tokens of an answer, as they come.
    """

    def __init__(self, options: DraftOptions, target: Model, limits: Limits) -> None:
        """Load it and reserve its window.

        Args:
            limits: Those of the target's context.

        Raises:
            InputError: Its tokens are not the target's.
            ModelError: Its file cannot be used, or what it read cannot be taken back.
        """
        self.name = options.path.stem
        self.off = ""
        self.typical = _TYPICAL
        self.rates = {False: _BELIEF, True: _BELIEF}  # by whether tokens are drawn at random
        self.guessed = self.right = 0
        self._requests = 0
        self._costs = Costs(options.costs)
        self._model = Model(options.path, gpu_layers=options.gpu_layers)
        try:
            check_pair(self._model, target)
            size = min(limits.window, self._model.header.context_length or limits.window)
            self._context = Context(
                self._model,
                Options(
                    size=size,
                    cells=min(limits.context, _LIVE * size),
                    threads=options.threads,
                    streams=_LIVE,
                    kept=_KEPT,
                    outputs=_MOST + 1,
                ),
            )
        except BaseException:
            self._model.close()
            raise
        self._sequences = Sequences(self._context, _LIVE + _KEPT)
        self._ids = min(self._model.vocabulary.size, target.vocabulary.size)
        if not target.can_forget:
            self.switch_off("the model cannot take back what it read, so nothing can be tried")

    @property
    def token_s(self) -> float:
        """Seconds that one token of it takes."""
        return self._costs.step(1)

    def calibrate(self, context: Context, costs: Costs, sequence: int) -> None:
        """Measure what drafting and checking cost, and give the draft up where it cannot gain.

        What was measured before is believed where it speaks for drafting.

        Args:
            context: The target's; nobody is at work there.
            costs: The target's.
            sequence: An empty one of the target's.
        """
        if self.off:
            return
        sizes = range(1, min(_MOST + 1, context.limits.outputs, context.limits.window) + 1)
        own = (1, 2, min(_READING, self._context.limits.batch))
        if costs.unknown(sizes) or self._costs.unknown(own) or self._needed(costs) is None:
            mine = self._sequences.adopt([])
            measure(self._context, self._costs, mine, own)
            self._sequences.give_back(mine, [])
            measure(context, costs, sequence, sizes)
        if self._needed(costs) is None:
            self.switch_off(
                f"it would not gain if all of its guesses were right: a token of it takes "
                f"{self.token_s / costs.step(1):.2f} times one of the model, and to check 8 in one "
                f"step {costs.step(8) / costs.step(1):.1f} times"
            )

    def switch_off(self, reason: str) -> None:
        """Do without it from here on, and give its memory back."""
        self.off = f"switched off: {reason}"
        _logger.info("draft model %s is %s", self.name, self.off)
        self.close()

    def stream(self, *, sampled: bool) -> DraftStream | None:
        """Return what guesses for one request, None where none does. From any thread.

        Args:
            sampled: Tokens are drawn at random, so that guesses are less often right.
        """
        return None if self.off else DraftStream(self, sampled=sampled)

    def first_belief(self, *, sampled: bool) -> float:
        """Return how likely the first guess for a new request is right."""
        self._requests += 1
        rate = self.rates[sampled]
        return max(rate, _BELIEF) if self._requests % _RETRY == 0 else rate

    def report(self, costs: Costs) -> DraftReport:
        """Return what it did.

        Args:
            costs: The target's.
        """
        least, rate = self._needed(costs), self.rates[False]
        if self.off:
            message = self.off
        elif least is None or rate < least:
            message = "not used at present: " + _shares(rate, least)
        else:
            message = "used: " + _shares(rate, least)
        return DraftReport(
            self.name, not self.off, message, self.guessed, self.right, rate, least, self.token_s
        )

    def reading_s(self, tokens: int) -> float:
        """Return about how long it takes to read so many."""
        return math.ceil(tokens / _READING) * self._costs.step(min(tokens, _READING))

    def continuation(self, stream: DraftStream, most: int, least: float) -> list[int]:
        """Return up to ``most`` tokens that it would go on with.

        Nothing while it still reads what it has not read: a stretch at each call.

        Args:
            least: How likely all up to a token must be, so that checking it is worth the time.
        """
        if not self._catch_up(stream):
            return []
        found: list[int] = []
        chance = 1.0
        feed = stream.tokens[len(stream.held) :]
        while len(found) < most:
            row = self._step(stream, feed, rows=1)
            if row is None:
                break
            token = int(row.argmax())
            chance *= 1.0 / float(np.exp(row - row[token]).sum())
            if not chance >= least or token >= self._ids:
                stream.doubted = True
                break
            found.append(token)
            feed = [token]
        return found

    def release(self, stream: DraftStream, written: int) -> None:
        """Take back the sequence of a stream, and note how long its answer was."""
        self.typical += (1 - _SLOW) * (written - self.typical)
        if stream.sequence >= 0 and not self.off:
            self._sequences.give_back(stream.sequence, stream.held)
        stream.sequence = -1

    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        self._costs.save()
        self._context.close()
        self._model.close()

    def _needed(self, costs: Costs) -> float | None:
        return needed(costs, self.token_s, _MOST)

    def _catch_up(self, stream: DraftStream) -> bool:
        """Drop what turned out wrong, read what is missing; return whether little enough is."""
        tokens, held = stream.tokens, stream.held
        if len(tokens) + _MOST > self._context.limits.window:
            return False
        if stream.sequence < 0:
            if self._sequences.busy >= _LIVE:
                return False
            stream.sequence, cached = self._sequences.take(tokens)
            held[:] = tokens[:cached]
        else:
            agreed = stream.agreed
            keep = agreed + common_prefix(held[agreed:], tokens[agreed : len(tokens) - 1])
            if keep < len(held):
                del held[self._sequences.cut(stream.sequence, keep) :]
        stream.agreed = len(held)
        while (lacking := len(tokens) - len(held)) > _NEAR:
            batch = self._context.limits.batch
            stretch = self._costs.reading(batch, within=_STALL_S)
            size = min(stretch, lacking - 1)
            if self._step(stream, tokens[len(held) : len(held) + size], rows=0) is None:
                return False
            stream.agreed = len(held)
            if size == stretch:
                return False  # the target's next step comes first
        return True

    def _step(self, stream: DraftStream, feed: list[int], *, rows: int) -> Row | None:
        """Read tokens; return the logits after the last, or none of them; None if it cannot."""
        if max(feed) >= self._ids:
            stream.lost = True  # a token that it has not: padding of a larger vocabulary
            return None
        began = time.perf_counter()
        at = len(stream.held)
        while not self._context.decode([Piece(stream.sequence, at, feed, rows)]):
            if not self._sequences.evict():
                stream.lost = True
                return None
        row = self._context.logits(len(feed) - 1) if rows else np.empty(0, np.float32)
        self._costs.learn(len(feed), time.perf_counter() - began)
        stream.held += feed
        self._sequences.read(stream.sequence, feed, at)
        return row


class DraftStream:
    """What guesses for one request.

    Attributes:
        tokens: Prompt and answer so far, as its owner keeps them.
        held: What the draft model has read, wrong guesses at its end among them.
        agreed: So many of these are known to be the text's.
        doubted: The last guess was ended by a token that was not likely enough.
        lost: It guesses no more.
    """

    def __init__(self, model: DraftModel, *, sampled: bool) -> None:
        self.tokens: list[int] = []
        self.held: list[int] = []
        self.sequence = -1
        self.agreed = 0
        self.doubted = self.lost = False
        self._model = model
        self._sampled = sampled
        self._belief: float | None = None  # until it is first asked

    def plan(self, room: Room, left: int) -> tuple[int, float]:
        """Return how many tokens to guess, and how many a second that promises to make.

        Args:
            left: Tokens that may still be guessed.
        """
        if self.lost or self._model.off or room.at_work > _LIVE:
            return 0, 0.0
        count, speed = room.plan(self._rate(), most=min(_MOST, left), each_s=self._model.token_s)
        lacking = len(self.tokens) - len(self.held)
        if count and lacking > _NEAR:
            # What it has to read first must come back over the rest of the answer.
            rest = min(left, self._model.typical)
            saved = rest * room.writing * (1.0 / room.plan(0.0, most=0)[1] - 1.0 / speed)
            if saved <= self._model.reading_s(lacking):
                return 0, 0.0
        return count, speed

    def guess(
        self,
        room: Room,
        count: int,
        speed: float,
        fitting: Callable[[list[int]], list[int]],
    ) -> list[int]:
        """Return up to so many tokens that may come next.

        Args:
            speed: Tokens a second that were promised: what a moment is worth.
            fitting: Cuts what the grammar forbids.
        """
        self.doubted = False
        costs, writing = room.costs, room.writing
        row_s = (costs.step(writing + count) - costs.step(writing)) / count
        try:
            found = self._model.continuation(self, count, row_s * speed)
        except GenerationError as error:  # the answer goes on without it
            self._model.switch_off(f"it failed: {error.message}")
            return []
        kept = fitting(found)
        self.doubted = self.doubted or len(kept) < len(found)
        return kept

    def learn(self, guessed: int, right: int) -> None:
        """Take note of how far the last guess was right."""
        tests = right + (right < guessed or self.doubted)
        if not tests:
            return
        model, share = self._model, right / tests
        model.guessed += guessed
        model.right += right
        self._belief = self._rate() + (1 - _SMOOTHING) * (share - self._rate())
        model.rates[self._sampled] += (1 - _SLOW) * (share - model.rates[self._sampled])

    def close(self, written: int) -> None:
        """Give its sequence back.

        Args:
            written: Tokens of the answer.
        """
        self._model.release(self, written)

    def _rate(self) -> float:
        if self._belief is None:
            self._belief = self._model.first_belief(sampled=self._sampled)
        return self._belief


def _shares(rate: float, least: float | None) -> str:
    wanted = "no share would do" if least is None else f"{least:.0%} must be, so that it gains"
    return f"{rate:.0%} of its guesses are right, {wanted}"
