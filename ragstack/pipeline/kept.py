"""What a cache of answers is asked and what it gives: values, and the seam that the base knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ragstack.protocols import Vectors
from ragstack.types import Answer

__all__ = ["THRESHOLDS", "Answers", "Asked", "Cached", "threshold_of"]

THRESHOLDS = {"minilm": 0.90}
"""Cosine from which questions may be the same, by a part of the embedder's fingerprint."""

_THRESHOLD = 0.97  # of embedders that nobody measured


@dataclass(frozen=True, slots=True)
class Cached:
    """An answer that was given, the question it was given to, and how near that one is."""

    answer: Answer
    question: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what its answer depends on.

    Attributes:
        scope: The state of the collection.
        key: Everything else that must be equal: who asks, filters, settings, models.
        vector: Of the question, of length 1.
        threshold: Cosine from which another question may be the same.
        strict: As of ``may_share``.
    """

    question: str
    collection: str
    scope: str
    key: str
    vector: Vectors
    threshold: float
    strict: bool = True


class Answers(Protocol):
    """Keeps answers by question.

    Attributes:
        threshold: As it was configured; 0 is the embedder's own.
    """

    threshold: float

    def get(self, asked: Asked) -> Cached | None:
        """Return the answer to the nearest question that may share it; None: there is none."""
        ...

    def put(self, asked: Asked, answer: Answer) -> None:
        """Keep an answer."""
        ...


def threshold_of(fingerprint: str) -> float:
    """Return the cosine from which two questions may be the same, for an embedder."""
    name = fingerprint.casefold()
    return next((cosine for part, cosine in THRESHOLDS.items() if part in name), _THRESHOLD)
