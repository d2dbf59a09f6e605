"""Logits in, the next tokens to read out: what a request does at each of its steps.

A job knows nothing of sequences, of other jobs, or of threads. It is asked once for each step it
took part in, and says what its sequence should hold and read next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ragstack.engine.context import Row
from ragstack.engine.costs import Room
from ragstack.engine.draft_stream import DraftStream
from ragstack.engine.drafts import Drafter
from ragstack.engine.grammar import Constraint
from ragstack.engine.images import words
from ragstack.engine.near_ties import NearTies
from ragstack.engine.sampling import Sampler, log_probability, logprobs_of
from ragstack.types import TokenLogprob

__all__ = ["Choice", "Feed", "Guide", "Job", "Peeking", "Reading", "Scoring", "Tally", "Writing"]

_CERTAIN = 0.999  # probability that a token is right which the grammar forces


@dataclass(frozen=True, slots=True)
class Feed:
    """What a job wants read next, with the logits after each token.

    Attributes:
        at: How many tokens of its sequence stay; the feed comes after them.
    """

    at: int
    tokens: list[int]


class Tally(NamedTuple):
    """What a job did: tokens written, guessed, and guessed right; steps that were nearly ties."""

    written: int = 0
    guessed: int = 0
    right: int = 0
    near_ties: int = 0


class Job(Protocol):
    """One request at work."""

    @property
    def prompt(self) -> Sequence[int]:
        """What is read first."""
        ...

    @property
    def most(self) -> int:
        """How many tokens beyond the prompt its sequence may come to hold."""
        ...

    @property
    def hole(self) -> tuple[int, int] | None:
        """Tokens of the prompt, from and to, that are forgotten before its last one is read."""
        ...

    def begin(self, cached: int) -> None:
        """Take note of how much of the prompt was held already."""
        ...

    def advance(self, rows: Sequence[Row], room: Room) -> Feed | None:
        """Return what to read next, None at the end.

        Args:
            rows: Logits after each token of the last feed; after the prompt's last, at first.
            room: Returns how many tokens beyond the one that must be read may be guessed, by the
                probability that one guess more would be right.
        """
        ...

    @property
    def tally(self) -> Tally:
        """What was done so far."""
        ...


class Guide(Protocol):
    """Says what must come next where neither the model nor a grammar decides."""

    @property
    def free(self) -> bool:
        """Whether no grammar holds for the next token."""
        ...

    def forced(self) -> int | None:
        """Return the token that must come next, if there is one."""
        ...

    def accept(self, token: int) -> None:
        """Take note of the token that came."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """How the next token is chosen.

    Attributes:
        ends: Tokens that end a text.
        note: Called with the log-probability of each token, where they are wanted.
        alternatives: How many other tokens to tell with it.
        ties: Takes note where another token was nearly as good; None where nobody asks.
    """

    sampler: Sampler
    ends: frozenset[int]
    constraint: Constraint | None = None
    guide: Guide | None = None
    note: Callable[[TokenLogprob], None] | None = None
    alternatives: int = 0
    ties: NearTies | None = None

    def draw(self, row: Row) -> int:
        """Return the next token and take note of it."""
        token = self.guide.forced() if self.guide else None
        if token is None:
            token = self._free(row)
        self.sampler.accept(token)
        if self.guide:
            self.guide.accept(token)
        if self.note:
            self.note(logprobs_of(row, token, self.alternatives))
        if self.ties is not None:
            self.ties.at += 1
        return token

    def is_last(self, token: int) -> bool:
        """Return whether nothing may follow a token that was drawn."""
        return token in self.ends or (self.constraint is not None and self.constraint.complete)

    def forced(self) -> list[int]:
        """Return the tokens that the grammar leaves no choice of."""
        if self.constraint is None or (self.guide and self.guide.free):
            return []
        return self.constraint.forced()

    def fitting(self, tokens: list[int]) -> list[int]:
        """Return as many guessed tokens, from the first on, as may come: none that ends the text.

        A guess that the grammar forbids would be read for nothing.
        """
        end = next((i for i, token in enumerate(tokens) if token in self.ends), len(tokens))
        if self.constraint is None or (self.guide and self.guide.free):
            return tokens[:end]
        return tokens[: self.constraint.fitting(tokens[:end])]

    def _free(self, row: Row) -> int:
        if self.constraint is None or (self.guide and self.guide.free):
            return self._drawn(row)
        token = self._drawn(self.constraint.mask(row))
        if token not in self.ends:
            self.constraint.accept(token)
        return token

    def _drawn(self, row: Row) -> int:
        token = self.sampler.draw(row)
        if self.ties is not None:
            self.ties.look(self.sampler.row, token)
        return token


class Writing:
    """Draws tokens one after another and hands each to ``put``.

    Attributes:
        finish: ``stop`` or ``length`` at the end.
    """

    hole: tuple[int, int] | None = None

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        most: int,
        choice: Choice,
        put: Callable[[int], None],
        drafter: Drafter | None = None,
        draft: DraftStream | None = None,
    ) -> None:
        """Begin with nothing written.

        Args:
            drafter: Guesses from what was read and written; None guesses nothing at all.
            draft: A smaller model's guesses, beside those.
        """
        self.prompt = prompt
        self.most = most
        self.cached = 0
        self.finish = ""
        self._choice = choice
        self._put = put
        self._drafter = drafter
        self._draft = draft
        self._length = len(prompt)  # of the sequence, once the last feed was right to its end
        self._left = most
        self._guessed: list[int] = []
        self._learn: Callable[[int, int], None] | None = None  # of whoever guessed last
        self._ahead = self._right = 0  # tokens guessed, and guessed right

    def begin(self, cached: int) -> None:
        """Take note of how much of the prompt was held already."""
        self.cached = cached
        if self._drafter is not None:
            self._drafter.extend(words(self.prompt))  # what an image shows is nobody's guess
            if self._draft is not None:
                self._draft.follow(self._drafter.tokens)

    @property
    def tally(self) -> Tally:
        """What was done so far."""
        ties = self._choice.ties
        near = len(ties.places) if ties is not None else 0
        return Tally(self.most - self._left, self._ahead, self._right, near)

    def advance(self, rows: Sequence[Row], room: Room) -> Feed | None:
        """Draw a token from each row for as long as the guesses before it were right."""
        right, token = 0, 0
        for place, row in enumerate(rows):
            token = self._choice.draw(row)
            if self._ended(token):
                return None
            if place == len(self._guessed) or token != self._guessed[place]:
                break
            right += 1
        self._ahead += len(self._guessed)
        self._right += right
        if self._learn is not None:
            self._learn(len(self._guessed), right)
        at = self._length - len(self._guessed) + right
        self._guessed = self._guess(room)
        self._length = at + 1 + len(self._guessed)
        return Feed(at, [token, *self._guessed])

    def _guess(self, room: Room) -> list[int]:
        """Guess: what the grammar forces, else of lookup and draft who promises more a second."""
        most, self._learn = self._left - 1, None
        if self._drafter is None or most <= 0:
            return []
        forced = self._choice.forced()
        if forced:
            return forced[: min(most, room(_CERTAIN))]
        belief = self._drafter.belief()
        if self._draft is not None:
            count, speed = self._draft.plan(room, most)
            if count and speed > room.plan(belief, most=most)[1]:
                found = self._draft.guess(room, count, speed, self._choice.fitting)
                if found:
                    self._learn = self._draft.learn
                    return found
                self._draft.learn(0, 0)
        self._learn = self._drafter.learn
        return self._choice.fitting(self._drafter.guess(min(most, room(belief))))

    def _ended(self, token: int) -> bool:
        """Hand a token out, if it is one of the text; return whether it was the last."""
        if token in self._choice.ends:
            self.finish = "stop"
            return True
        self._put(token)
        self._left -= 1
        if self._drafter is not None:
            self._drafter.extend([token])
        if self._choice.is_last(token):
            self.finish = "stop"
        elif self._left == 0:
            self.finish = "length"
        return bool(self.finish)


class Reading:
    """What jobs that write nothing have in common."""

    cached = 0
    hole: tuple[int, int] | None = None

    def begin(self, cached: int) -> None:
        """Take note of how much of the prompt was held already."""
        self.cached = cached

    @property
    def tally(self) -> Tally:
        """No token is written."""
        return Tally()


class Scoring(Reading):
    """Reads continuations of one prompt and keeps the log-probability of each token.

    Attributes:
        scores: Natural logarithms, one row for each continuation.
        complete: Whether all of them are there.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        at_once: int,
        hole: tuple[int, int] | None = None,
    ) -> None:
        """Begin with nothing scored.

        Args:
            at_once: Tokens of one feed: their rows of logits all come from one step.
            hole: Tokens of the prompt that are forgotten before its last one is read.
        """
        self.prompt = prompt
        self.hole = hole
        self.most = max(map(len, continuations), default=0)
        self.complete = False
        self.scores: list[list[float]] = [[] for _ in continuations]
        self._at_once = at_once
        self._continuations = [list(tokens) for tokens in continuations]
        self._fed = -1  # which continuation was read last

    def advance(self, rows: Sequence[Row], room: Room) -> Feed | None:
        """Score what follows each row, then go on reading."""
        del room
        number = self._fed
        if number < 0:
            for tokens, scores in zip(self._continuations, self.scores, strict=True):
                scores += [log_probability(rows[0], token) for token in tokens[:1]]
            number = 0
        else:
            tokens, scores = self._continuations[number], self.scores[number]
            scores += [
                log_probability(row, token)
                for row, token in zip(rows, tokens[len(scores) :], strict=False)
            ]
        while number < len(self._continuations):
            tokens, done = self._continuations[number], len(self.scores[number])
            if done < len(tokens):
                piece = tokens[done - 1 : min(done - 1 + self._at_once, len(tokens) - 1)]
                self._fed = number
                return Feed(len(self.prompt) + done - 1, piece)
            number += 1
        self.complete = True
        return None


class Peeking(Reading):
    """Tells the likeliest tokens after a prompt.

    Attributes:
        found: (token, natural log-probability), best first; None before the end.
    """

    def __init__(
        self, prompt: Sequence[int], alternatives: int, adjust: Callable[[Row], Row] | None = None
    ) -> None:
        """Begin with nothing looked at.

        Args:
            adjust: Changes the logits before they become probabilities.
        """
        self.prompt = prompt
        self.most = 0
        self.found: tuple[tuple[int, float], ...] | None = None
        self._alternatives = alternatives
        self._adjust = adjust

    @property
    def complete(self) -> bool:
        """Whether it was looked at."""
        return self.found is not None

    def advance(self, rows: Sequence[Row], room: Room) -> Feed | None:
        """Look at the one row there is."""
        del room
        row = rows[0] if self._adjust is None else self._adjust(rows[0])
        self.found = logprobs_of(row, int(row.argmax()), self._alternatives).alternatives
        return None
