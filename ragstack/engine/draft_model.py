"""Text so far in, what a smaller model thinks comes next out. It is always checked by the larger.

The draft model has a context of its own (Leviathan et al., arXiv:2211.17192). Whether it is asked
follows from what its tokens cost, what it costs to check them, and how often they were right.
All of it but making a stream belongs to the engine's thread.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options, Row
from ragstack.engine.costs import Costs
from ragstack.engine.draft_check import DraftReport, check_pair, measure, needed, shares
from ragstack.engine.guard import Limits
from ragstack.engine.model import Model
from ragstack.engine.sequences import Sequences, common_prefix

__all__ = ["LIVE", "MOST", "NEAR", "DraftModel", "DraftOptions", "Followed"]

_logger = logging.getLogger(__name__)

LIVE = 2  # requests at work beyond which one step is worth more than a guess
_KEPT = 6  # sequences kept for prompts that begin alike
MOST = 15  # guesses: with the token before them a step of 16
_BELIEF, _HOPE = 0.75, 0.95  # how likely a guess is right before any was made: least and most
_SLOW = 0.95
_STALL_S = 0.5  # longest stretch of a prompt that is read between two steps of the target
NEAR = 32  # tokens behind which reading them is no matter
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


@dataclass(eq=False, slots=True)
class Followed:
    """How far it follows one text.

    Attributes:
        tokens: Prompt and answer so far, as their owner keeps them.
        held: What was read of it, wrong guesses at its end among them.
        agreed: So many of these are known to be the text's.
        doubted: The last guess was ended by a token that was not likely enough.
        lost: It cannot be followed any more.
    """

    tokens: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    sequence: int = -1
    agreed: int = 0
    doubted: bool = False
    lost: bool = False


class DraftModel:
    """A small model that guesses for a large one.

    Attributes:
        off: Why it is not used; empty while it is.
        token_s: Seconds that one token of it takes.
        typical: Tokens of an answer, as they come.
        first: How likely a guess is taken to be right before any was made.
        rates: How likely a guess is right, by whether tokens are drawn at random.
        guessed: Tokens that were guessed; ``right`` of them rightly.
        requests: How many it guessed for; ``asked`` so often, sometimes in too much doubt to guess.
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
        self.first = _BELIEF
        self.rates = {False: _BELIEF, True: _BELIEF}
        self.guessed = self.right = 0
        self.requests = self.asked = 0
        self._costs = Costs(options.costs)
        self._model = Model(options.path, gpu_layers=options.gpu_layers)
        try:
            check_pair(self._model, target)
            size = min(limits.window, self._model.header.context_length or limits.window)
            self._context = Context(
                self._model,
                Options(
                    size=size,
                    cells=min(limits.context, LIVE * size),
                    threads=options.threads,
                    streams=LIVE,
                    kept=_KEPT,
                    outputs=MOST + 1,
                ),
            )
        except BaseException:
            self._model.close()
            raise
        self._sequences = Sequences(self._context, LIVE + _KEPT)
        self._ends = target.vocabulary.ends
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
        most = min(MOST + 1, context.limits.outputs, context.limits.window)
        # Coarse first: measuring may have to end early, and what is left is learnt in use.
        coarse = [size for size in (1, 2, 4, 8, MOST + 1) if size <= most]
        own = (1, 2, min(_READING, self._context.limits.batch))
        if costs.unknown(coarse) or self._costs.unknown(own) or self._needed(costs) is None:
            mine = self._sequences.adopt([])
            measure(self._context, self._costs, mine, own)
            self._sequences.give_back(mine, [])
            rest = [size for size in range(3, most + 1) if size not in coarse]
            measure(context, costs, sequence, [*coarse, *costs.unknown(rest)])
        least = self._needed(costs)
        if least is not None:
            # What was never tried is believed to be just good enough to be tried.
            self.first = min(_HOPE, max(_BELIEF, least + 0.05))
            self.rates = {False: self.first, True: self.first}
        else:
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

    def report(self, costs: Costs) -> DraftReport:
        """Return what it did.

        Args:
            costs: The target's.
        """
        least, rate = None if self.off else self._needed(costs), self.rates[False]
        if self.off:
            message = self.off
        elif not self.asked and least is not None:
            message = f"not tried yet: {least:.0%} of its guesses must be right, so that it gains"
        elif least is None or rate < least:
            message = "not used at present: " + shares(rate, least)
        else:
            message = "used: " + shares(rate, least)
        return DraftReport(
            self.name, not self.off, message, self.guessed, self.right, rate, least, self.token_s
        )

    def reading_s(self, tokens: int) -> float:
        """Return about how long it takes to read so many."""
        return math.ceil(tokens / _READING) * self._costs.step(min(tokens, _READING))

    def begin(self, text: Followed) -> bool:
        """Give a text a sequence, which begins with what was read of it before.

        Returns False where all are taken.
        """
        if text.sequence < 0:
            if self._sequences.busy >= LIVE:
                return False
            text.sequence, cached = self._sequences.take(text.tokens)
            text.held = text.tokens[:cached]
            text.agreed = cached
        return True

    def continuation(self, text: Followed, most: int, least: float) -> list[int]:
        """Return up to ``most`` tokens that it would go on with.

        Nothing while it still reads what it has not read: a stretch at each call.

        Args:
            least: How likely all up to a token must be, so that checking it is worth the time.
        """
        if not self._catch_up(text):
            return []
        found: list[int] = []
        chance = 1.0
        feed = text.tokens[len(text.held) :]
        while len(found) < most:
            row = self._step(text, feed, rows=1)
            if row is None:
                break
            token = int(row.argmax())
            if token in self._ends:
                break  # if it is right, nothing comes after it
            chance *= 1.0 / float(np.exp(row - row[token]).sum())
            if not chance >= least or token >= self._ids:
                text.doubted = True
                break
            found.append(token)
            feed = [token]
        return found

    def release(self, text: Followed, written: int) -> None:
        """Take back the sequence of a text, and note how long its answer was."""
        self.typical += (1 - _SLOW) * (written - self.typical)
        if text.sequence >= 0 and not self.off:
            self._sequences.give_back(text.sequence, text.held)
        text.sequence = -1

    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        self._costs.save()
        self._context.close()
        self._model.close()

    def _needed(self, costs: Costs) -> float | None:
        return needed(costs, self.token_s, MOST)

    def _catch_up(self, text: Followed) -> bool:
        """Drop what turned out wrong, read what is missing; return whether little enough is."""
        tokens, held = text.tokens, text.held
        if len(tokens) + MOST > self._context.limits.window:
            return False
        agreed = text.agreed
        keep = agreed + common_prefix(held[agreed:], tokens[agreed : len(tokens) - 1])
        if keep < len(held):
            del held[self._sequences.cut(text.sequence, keep) :]
        text.agreed = len(held)
        while (lacking := len(tokens) - len(held)) > NEAR:
            batch = self._context.limits.batch
            stretch = self._costs.reading(batch, within=_STALL_S, patience=4 * _STALL_S)
            size = min(stretch, lacking - 1)
            if self._step(text, tokens[len(held) : len(held) + size], rows=0) is None:
                return False
            text.agreed = len(held)
            if size == stretch:
                return False  # the target's next step comes first
        return True

    def _step(self, text: Followed, feed: list[int], *, rows: int) -> Row | None:
        """Read tokens; return the logits after the last, or none of them; None if it cannot."""
        if max(feed) >= self._ids:
            text.lost = True  # a token that it has not: padding of a larger vocabulary
            return None
        began = time.perf_counter()
        at = len(text.held)
        while not self._context.decode([Piece(text.sequence, at, feed, rows)]):
            if not self._sequences.evict():
                text.lost = True
                return None
        row = self._context.logits(len(feed) - 1) if rows else np.empty(0, np.float32)
        self._costs.learn(len(feed), time.perf_counter() - began)
        text.held += feed
        self._sequences.read(text.sequence, feed, at)
        return row
