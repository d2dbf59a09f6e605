"""The tokens so far in, the logits of what would repeat them made smaller. Knows no model.

Repetition penalty: Keskar et al. 2019 (arXiv 1909.05858), which divides the logit; a negative one
is multiplied, as everybody does since, or it would become likelier. Presence and frequency
penalty: as in OpenAI's API, over the answer alone. DRY: p-e-w 2024 (github.com/oobabooga/
text-generation-webui/pull/5677), and llama.cpp's way of counting.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.candidates import Row
from ragstack.errors import InputError
from ragstack.types import Dry, Sampling

__all__ = ["Penalties"]

# No token is worth 1e6 more than another, so more need not be taken; and what is taken from must
# stay finite: a grammar may leave nothing else.
_MOST_COST = 1e6
_FINITE = (np.finfo(np.float32).min, np.finfo(np.float32).max)
_ROOM = 1024


class Penalties:
    """What one text has said, and what that costs."""

    def __init__(self, sampling: Sampling, piece: Callable[[int], bytes] | None) -> None:
        """Begin a text.

        Args:
            piece: The bytes of a token; needed for DRY's breakers alone.

        Raises:
            InputError: DRY has breakers, and nothing tells the bytes of a token.
        """
        self._sampling = sampling
        self._answer: Counter[int] | None = None
        if sampling.presence_penalty or sampling.frequency_penalty:
            self._answer = Counter()
        self._recent: deque[int] | None = None
        self._counts: Counter[int] = Counter()
        if sampling.repetition_penalty != 1.0:
            self._recent = deque()
        self._repeats = None if sampling.dry is None else _Repeats(sampling.dry, piece)

    @property
    def idle(self) -> bool:
        """Whether none of them is asked for."""
        return self._answer is None and self._recent is None and self._repeats is None

    def read(self, token: int) -> None:
        """Take a token of the prompt."""
        if self._recent is not None:
            self._remember(self._recent, token)
        if self._repeats is not None:
            self._repeats.accept(token)

    def accept(self, token: int) -> None:
        """Take a token of the answer."""
        self.read(token)
        if self._answer is not None:
            self._answer[token] += 1

    def apply(self, row: Row) -> None:
        """Change the logits in place."""
        if self._recent is not None:
            seen = _keys(self._counts)
            values, factor = row[seen], np.float32(self._sampling.repetition_penalty)
            with np.errstate(over="ignore"):
                changed = np.where(values > 0.0, values / factor, values * factor)
            row[seen] = np.where(np.isinf(values), values, np.clip(changed, *_FINITE))
        if self._answer:
            counts = np.fromiter(self._answer.values(), np.float32, len(self._answer))
            row[_keys(self._answer)] -= counts * np.float32(
                self._sampling.frequency_penalty
            ) + np.float32(self._sampling.presence_penalty)
        if self._repeats is not None:
            for token, cost in self._repeats.costs().items():
                row[token] -= np.float32(cost)

    def _remember(self, recent: deque[int], token: int) -> None:
        self._counts[token] += 1
        window = self._sampling.repetition_window
        if not window:  # nothing is ever forgotten
            return
        recent.append(token)
        if len(recent) > window:
            oldest = recent.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]


class _Repeats:
    """How long a sequence that the text ends with ends at each earlier place too.

    A token that comes lengthens by one each such sequence whose next token it is and ends all
    others: a few microseconds for a whole window, where comparing anew would take milliseconds.
    """

    def __init__(self, settings: Dry, piece: Callable[[int], bytes] | None) -> None:
        self._settings = settings
        self._breaks = _Breakers(settings.breakers, piece)
        self._tokens = np.zeros(_ROOM, np.int32)
        self._lengths = np.zeros(_ROOM + 1, np.int32)  # of place i at i + 1
        self._count = 0

    def accept(self, token: int) -> None:
        if self._count == len(self._tokens):
            self._make_room()
        n = self._count
        self._lengths[1 : n + 1] = np.where(self._tokens[:n] == token, self._lengths[:n] + 1, 0)
        self._tokens[n], self._lengths[n + 1] = token, 0
        self._count = n + 1
        self._breaks.accept(token)

    def costs(self) -> dict[int, float]:
        """Return what to take from the logit of each token that would go on with a repeat."""
        settings = self._settings
        start = max(self._count - settings.window, 0) if settings.window else 0
        places = np.arange(start, self._count - 1)
        # Neither out of the window nor across the last breaker.
        most = np.minimum(places - start + 1, self._breaks.since)
        lengths = np.minimum(self._lengths[start + 1 : start + 1 + len(places)], most)
        found = np.flatnonzero(lengths >= settings.allowed_length)
        found = found[np.argsort(lengths[found], kind="stable")]
        # Shortest first, so that of a token's repeats the longest stays.
        longest = dict(
            zip(self._tokens[start + found + 1].tolist(), lengths[found].tolist(), strict=True)
        )
        return {
            token: _cost(settings, length)
            for token, length in longest.items()
            if not self._breaks.contains(token)
        }

    def _make_room(self) -> None:
        """Double the room; of a window, keep twice its length."""
        keep = self._count
        if self._settings.window:
            keep = min(keep, self._settings.window)
        first, room = self._count - keep, max(2 * keep, _ROOM)
        tokens, lengths = np.zeros(room, np.int32), np.zeros(room + 1, np.int32)
        tokens[:keep] = self._tokens[first : self._count]
        lengths[: keep + 1] = self._lengths[first : self._count + 1]
        self._tokens, self._lengths = tokens, lengths
        self._count = keep


class _Breakers:
    """Watches a text for strings, across the borders of its tokens.

    Attributes:
        since: Tokens that came whole after the last breaker.
    """

    def __init__(self, breakers: Collection[str], piece: Callable[[int], bytes] | None) -> None:
        self._breakers = [text.encode() for text in breakers]
        if self._breakers and piece is None:
            raise InputError(
                f"DRY has the breakers {breakers!r}, and nothing tells the bytes of a token",
                hint="give Sampler piece=vocabulary.piece, or Dry no breakers",
            )
        self._piece = piece or (lambda _token: b"")
        self._keep = max(map(len, self._breakers), default=1) - 1
        self._tail = b""
        self.since = 0

    def accept(self, token: int) -> None:
        if not self._breakers:
            self.since += 1
            return
        text = self._tail + self._piece(token)
        # A breaker that ends in this token: the tail alone is too short for one that ended before,
        # but for short breakers beside long ones, so look where each must end.
        old = len(self._tail)
        ended = any(text.find(b, max(old - len(b) + 1, 0)) >= 0 for b in self._breakers)
        self.since = 0 if ended else self.since + 1
        self._tail = text[len(text) - self._keep :] if self._keep else b""

    def contains(self, token: int) -> bool:
        """Return whether a token has a breaker in its own text."""
        return any(breaker in self._piece(token) for breaker in self._breakers)


def _cost(settings: Dry, length: int) -> float:
    powers = (length - settings.allowed_length) * math.log(settings.base)
    return min(settings.multiplier * math.exp(min(powers, 100.0)), _MOST_COST)


def _keys(counts: Counter[int]) -> NDArray[np.intp]:
    return np.fromiter(counts, np.intp, len(counts))
