"""Measurements in, medians, spreads and ratios out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ragstack_evals.contest.player import Heard

__all__ = ["Results", "Sample", "crowd", "rates"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: of which part and cell of the bench, of whom, what."""

    part: str
    cell: str
    who: str
    measure: str
    value: float


@dataclass(slots=True)
class Results:
    """All that was measured of one model.

    Attributes:
        notes: What a reader has to know beside the numbers.
    """

    model: str
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, part: str, cell: str, who: str, **values: float) -> None:
        """Take note of what was measured together."""
        self.samples += [Sample(part, cell, who, name, value) for name, value in values.items()]

    def values(self, part: str, cell: str, who: str, measure: str) -> list[float]:
        """Return what was measured, in order."""
        wanted = (part, cell, who, measure)
        return [s.value for s in self.samples if (s.part, s.cell, s.who, s.measure) == wanted]

    def median(self, part: str, cell: str, who: str, measure: str) -> float | None:
        """Return the median; None where nothing was measured."""
        found = self.values(part, cell, who, measure)
        return statistics.median(found) if found else None

    def spread(self, part: str, cell: str, who: str, measure: str) -> float | None:
        """Return half the range, as a share of the median; None of fewer than two."""
        found = self.values(part, cell, who, measure)
        middle = statistics.median(found) if found else 0.0
        return (max(found) - min(found)) / 2 / middle if len(found) > 1 and middle else None

    def ratio(self, part: str, cell: str, pair: tuple[str, str], measure: str) -> float | None:
        """Return the median of the first through the median of the second."""
        first, second = (self.median(part, cell, who, measure) for who in pair)
        return first / second if first is not None and second else None

    def cells(self, part: str) -> list[str]:
        """Return the cells of a part, in the order they were measured in."""
        return list(dict.fromkeys(s.cell for s in self.samples if s.part == part))

    def contestants(self, part: str) -> list[str]:
        """Return who took part, in a fixed order."""
        return sorted({s.who for s in self.samples if s.part == part}, key=_place)

    def plain(self) -> dict[str, Any]:
        """Return all of it for a JSON file."""
        return asdict(self)


_ORDER = (
    *("ragstack", "ragstack, background", "ragstack, guessing", "ragstack, drafting"),
    *("bare", "Llama", "ChatLlamaCpp"),
)


def _place(who: str) -> tuple[int, str]:
    return (_ORDER.index(who) if who in _ORDER else len(_ORDER), who)


def rates(heard: Heard, prompt: int, written: int) -> tuple[float, float]:
    """Return tokens a second of reading, up to the first text, and of writing after it."""
    rest = heard.took_s - heard.first_s
    reading = prompt / heard.first_s if heard.first_s > 0 else 0.0
    return reading, ((written - 1) / rest if rest > 0 and written > 1 else 0.0)


def crowd(took_s: float, heard: Sequence[Heard], tokens: int) -> dict[str, float]:
    """Return the measures of streams side by side.

    ``rate`` in tokens a second, all together and reading counted; the others in seconds.

    Args:
        tokens: What each wrote that does not say so itself.
    """
    firsts = [each.first_s for each in heard]
    gaps = [gap for each in heard for gap in each.gaps] or [0.0]
    return {
        "rate": sum(each.used.written if each.used.written > 0 else tokens for each in heard)
        / took_s,
        "first_p50": statistics.median(firsts),
        "first_p95": float(np.percentile(firsts, 95)),
        "token_p50": statistics.median(gaps),
        "token_p95": float(np.percentile(gaps, 95)),
        "answer_mean": statistics.mean(each.took_s for each in heard),
    }
