"""What indexes and graphs answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ragstack.types.documents import Chunk

__all__ = ["Entity", "Hit", "Passage", "Relation"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found by an index. Higher is better."""

    chunk_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk found for a question, with the trail of scores that brought it here.

    Attributes:
        trail: Score by stage: ``{"lexical": 11.2, "vector": 0.83, "weighted": 1.42}``.
    """

    chunk: Chunk
    score: float
    source: str
    trail: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entity:
    """A node of a knowledge graph."""

    id: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A fact of a knowledge graph; it keeps the chunk that says it."""

    subject: str
    predicate: str
    object: str
    chunk_id: str
