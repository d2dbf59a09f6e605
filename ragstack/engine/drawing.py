"""Weights in, one of them drawn: of all, or of those that a cut keeps.

Asking whether a cut keeps one token is quicker than finding out which others it keeps. So a token
is drawn from all until the cut keeps it, which comes to the same probabilities (rejection sampling:
von Neumann 1951, «Various techniques used in connection with random digits»).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ragstack.engine.candidates import HEIGHT, Indices, Weights, column_sums, covering, most_of

__all__ = ["AtLeast", "Best", "Cut", "Mass", "These", "Wheel", "draw_of", "kept_by"]

_TRIES = 3  # draws before what is kept is worked out; most cuts keep most of the weight


class Wheel:
    """Weights to draw by.

    Attributes:
        weights: The weights.
        whole: Their sum, within 1e-6 of it.
    """

    def __init__(self, weights: Weights) -> None:
        """Add them up.

        Args:
            weights: 0 or more each, not all 0.
        """
        self.weights = weights
        self._columns = np.cumsum(column_sums(weights), dtype=np.float64)
        self.whole = float(self._columns[-1])

    def at(self, random: float) -> int:
        """Return an index with the probability of its weight; never one of weight 0.

        Args:
            random: Uniform in [0, 1).
        """
        # First a column, then one of its numbers.
        weights, columns = self.weights, self._columns
        column = _place(columns, random * columns[-1])
        rest = random * columns[-1] - (columns[column - 1] if column else 0.0)
        width = len(weights) // HEIGHT
        if column >= width:  # of those that fill no column, each is one of its own
            return width * HEIGHT + column - width
        inside = np.cumsum(weights[column : width * HEIGHT : width], dtype=np.float64)
        return column + width * _place(inside, max(rest, 0.0))


def _place(sums: NDArray[np.float64], goal: float) -> int:
    """Return the first index whose sum is above the goal; the last that adds to it if none is."""
    place = int(np.searchsorted(sums, goal, side="right"))
    # Rounding can put the goal at the end: the last sum's first index is the last with a weight.
    return place if place < len(sums) else int(np.searchsorted(sums, sums[-1]))


class Cut(Protocol):
    """Some tokens of a vocabulary, told by what makes them count."""

    def keeps(self, place: int) -> bool:
        """Return whether the token at this index is one of them."""

    def kept(self) -> Indices:
        """Return the indices of all of them."""


def draw_of(wheel: Wheel, cuts: Sequence[Cut], random: Callable[[], float]) -> int:
    """Return an index that all cuts keep, with the probability of its weight among those.

    Args:
        random: Returns numbers uniform in [0, 1).
    """
    known = any(isinstance(cut, These) for cut in cuts)
    for _ in range(0 if known else _TRIES):
        place = wheel.at(random())
        if all(cut.keeps(place) for cut in cuts):
            return place
    kept = kept_by(cuts)
    return int(kept[Wheel(wheel.weights[kept]).at(random())])


def kept_by(cuts: Sequence[Cut]) -> Indices:
    """Return the indices that all of some cuts keep; of the first's order."""
    kept = cuts[0].kept()
    for cut in cuts[1:]:
        kept = kept[np.isin(kept, cut.kept())]
    return kept


@dataclass(frozen=True, slots=True)
class These:
    """Some that are known already."""

    places: Indices

    def keeps(self, place: int) -> bool:
        """Return whether it is one of them."""
        return bool((self.places == place).any())

    def kept(self) -> Indices:
        """Return their indices."""
        return self.places


@dataclass(frozen=True, slots=True)
class AtLeast:
    """All that weigh so much."""

    weights: Weights
    least: float

    def keeps(self, place: int) -> bool:
        """Return whether it weighs enough."""
        return bool(self.weights[place] >= self.least)

    def kept(self) -> Indices:
        """Return their indices, in order."""
        return np.flatnonzero(self.weights >= self.least)


@dataclass(frozen=True, slots=True)
class Best:
    """So many of the heaviest."""

    weights: Weights
    size: int

    def keeps(self, place: int) -> bool:
        """Return whether fewer than ``size`` are before it."""
        heavier, before = _before(self.weights, place)
        return int(np.count_nonzero(heavier) + np.count_nonzero(before)) < self.size

    def kept(self) -> Indices:
        """Return their indices, in any order."""
        return most_of(self.weights, self.size)


@dataclass(frozen=True, slots=True)
class Mass:
    """The fewest of the heaviest that have this sum."""

    weights: Weights
    goal: float

    def keeps(self, place: int) -> bool:
        """Return whether those before it have not reached the sum."""
        heavier, before = _before(self.weights, place)
        sum_before = float(self.weights[heavier].sum(dtype=np.float64))
        alike = int(np.count_nonzero(before)) * float(self.weights[place])
        return sum_before + alike < self.goal

    def kept(self) -> Indices:
        """Return their indices, heaviest first."""
        return covering(self.weights, self.weights, self.goal)


def _before(weights: Weights, place: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which weigh more than this one, and which of its like come before it."""
    own = weights[place]
    return weights > own, weights[:place] == own
