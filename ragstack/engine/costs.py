"""Durations of steps in, the best size of the next one out. Knows no sequences and no model.

What a step costs does not grow evenly with its tokens: on some machines two tokens cost more than
twice one, while eight cost less than four times two. So it is learnt from the steps that are done
anyway, a size not yet seen being taken for as cheap as the next smaller one, so that it is tried.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Costs", "Room"]

_QUICKER, _SLOWER = 0.7, 0.03  # how far to follow a step that took less, or more, than is known
_CLEAR = 0.9  # of the time of a step for all that smaller steps must take, so that they are taken
_AGAIN = 64  # smaller steps, after which one for all is done again
_LEAST_READ = 32  # tokens of a prompt in one step
_NEARLY = 0.93  # of the best speed of reading: a stretch of half the length costs a little of it
_FORMAT = 3
_MOST = 64


class Costs:
    """Seconds of a step by the number of its tokens. For one thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Begin with what an earlier run learnt, if a file is named and can be read."""
        self._path = path
        self._seconds: dict[int, float] = _read(path) if path else {}
        self._smaller = 0

    def learn(self, tokens: int, seconds: float) -> None:
        """Take note of how long a step took."""
        size = _rounded(tokens)
        seconds *= size / tokens  # else 300 tokens would pass for 512
        known = self._seconds.get(size)
        # What else the machine does can only add: what is quicker than known is believed at once,
        # what is slower little by little, because a cache that fills makes steps slower for good.
        rate = _QUICKER if known is not None and seconds < known else _SLOWER
        self._seconds[size] = seconds if known is None else known + rate * (seconds - known)

    def step(self, tokens: int) -> float:
        """Return the seconds that a step of so many tokens will take; 0 when nothing is known.

        More tokens never take less: a step that was slower than a larger one met a busy machine.
        """
        size = _rounded(tokens)
        if size not in self._seconds:
            size = max((each for each in self._seconds if each < size), default=size)
        return min((took for each, took in self._seconds.items() if each >= size), default=0.0)

    def group(self, waiting: int) -> int:
        """Return how many of the sequences that wait for a token should share the next step.

        All of them, unless smaller steps are clearly quicker: half a guess is no reason to split.
        Now and then all nevertheless: what is never done is never learnt anew, and a busy moment or
        long prompts would keep steps small for good.
        """
        most = min(waiting, _MOST)
        # ceil: a round is over when each had its token.
        rounds = {n: math.ceil(waiting / n) * self.step(n) for n in range(1, most + 1)}
        best = min(rounds, key=lambda n: (rounds[n], -n), default=0)
        if not best or rounds[best] >= _CLEAR * rounds[most]:
            return most
        self._smaller += 1
        return best if self._smaller % _AGAIN else most

    def waste(self, writing: int, at_work: int) -> float:
        """Return the seconds that a step of few writers loses against one of all at work."""
        share = writing / max(at_work, writing, 1)
        return max(0.0, self.step(writing) - share * self.step(max(at_work, writing)))

    def reading(self, most: int, *, within: float, patience: float) -> int:
        """Return how many tokens of a prompt to read in one step that others wait for.

        Where so few are read at half the speed, all wait longer in the end: then as many as read
        at nearly the best speed that is to be had with patience.

        Args:
            most: As many as there is room for.
            within: Seconds that it should take.
            patience: Seconds that it may take.
        """
        size = _LEAST_READ
        while size * 2 <= most and self.step(size * 2) <= within:
            size *= 2
        speeds = {n: v for n, v in self._speeds(most).items() if n <= v * patience}
        good = _NEARLY * max(speeds.values(), default=0.0)
        quick = min((n for n, speed in speeds.items() if speed >= good), default=size)
        return min(max(size, quick), most)

    def _speeds(self, most: int) -> dict[int, float]:
        """Return tokens a second by size of step; an unknown size is as quick as the next larger.

        It may be slower, but nobody knows until it is tried.
        """
        found: dict[int, float] = {}
        size = 1 << max(most, 1).bit_length()
        while (size := size // 2) >= _LEAST_READ:
            if size in self._seconds:
                found[size] = size / self.step(size)
            elif 2 * size in found:
                found[size] = found[2 * size]
        return found

    def guesses(self, writing: int, belief: float, most: int) -> int:
        """Return how many guessed tokens to add to a step in which so many sequences write.

        The number that makes most tokens a second; none where it does not gain a tenth.
        """
        return self.plan(writing, belief, most)[0]

    def plan(
        self, writing: int, belief: float, most: int, *, each_s: float = 0.0
    ) -> tuple[int, float]:
        """Return how many guesses make most tokens a second, and how many tokens that are.

        Each guess is right with probability ``belief`` if all before it were (Leviathan et al.,
        arXiv:2211.17192, eq. 1). Guesses that do not gain a tenth are none.

        Args:
            each_s: Seconds that making one guess takes.
        """
        plain = self.step(writing)
        if not plain:
            return 0, 0.0
        count, best = 0, writing / plain
        if belief <= 0.0:
            return count, best
        least, gained, chance = 1.1 * best, 0.0, 1.0
        for number in range(1, most + 1):
            chance *= belief
            gained += chance
            took = max(self.step(writing + number), plain) + number * each_s
            speed = (writing + gained) / took
            if speed > max(best, least):
                best, count = speed, number
        return count, best

    def unknown(self, sizes: Iterable[int]) -> list[int]:
        """Return those of these sizes whose steps were never measured."""
        return [size for size in sizes if _rounded(size) not in self._seconds]

    def save(self) -> None:
        """Keep what was learnt for the next run; without a file, or a writable one, nothing."""
        if self._path is None or not self._seconds:
            return
        text = json.dumps({"format": _FORMAT, "seconds": self._seconds})
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="ascii")
            part.replace(self._path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be guessed of what comes after the next step.

    Attributes:
        writing: Sequences that write in the step.
        most: Guesses that there are rows of logits for.
        at_work: Requests at work, those that still read among them.
    """

    costs: Costs
    writing: int
    most: int
    at_work: int

    def __call__(self, belief: float) -> int:
        """Return how many guesses to check, each being right with this probability."""
        return self.costs.guesses(self.writing, belief, self.most)

    def plan(self, belief: float, *, most: int, each_s: float = 0.0) -> tuple[int, float]:
        """Return how many guesses to make at most, and the tokens a second of doing so."""
        return self.costs.plan(self.writing, belief, min(most, self.most), each_s=each_s)


def _rounded(tokens: int) -> int:
    """Return the size as it is up to 16, then the power of two at or above it."""
    return tokens if tokens <= 16 else 1 << (tokens - 1).bit_length()


def _read(path: Path) -> dict[int, float]:
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        seconds: Mapping[str, object] = found["seconds"] if found["format"] == _FORMAT else {}
        return {
            int(size): float(value)
            for size, value in seconds.items()
            if isinstance(value, float) and 0.0 < value < math.inf and int(size) > 0
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
