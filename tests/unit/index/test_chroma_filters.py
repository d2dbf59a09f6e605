"""What is pushed into Chroma lets through at least what passes."""

from __future__ import annotations

import random
from typing import Any

from ragstack.filters import All, AnyOf, Compare, Eq, Exists, Not, Readable, matches
from ragstack.index.chroma_filters import described, pushed
from ragstack.testing.conditions import random_chunks, random_filter


def holds(where: Any, held: dict[str, Any]) -> bool:
    """Answer as Chroma does: measured, version 1.5."""
    if isinstance(where, bool):
        return where
    ((key, value),) = where.items()
    if key == "$and":
        return all(holds(part, held) for part in value)
    if key == "$or":
        return any(holds(part, held) for part in value)
    ((word, wanted),) = value.items()
    own = held.get(key)
    return {
        "$eq": lambda: own == wanted,
        "$ne": lambda: own != wanted,
        "$in": lambda: own in wanted,
        "$nin": lambda: own not in wanted,
        "$lt": lambda: own is not None and own < wanted,
        "$lte": lambda: own is not None and own <= wanted,
        "$gt": lambda: own is not None and own > wanted,
        "$gte": lambda: own is not None and own >= wanted,
    }[word]()


def test_nothing_that_passes_is_held_back() -> None:
    dice, let_through, passed = random.Random(1), 0, 0
    chunks = random_chunks(60, seed=1)
    for _ in range(2_000):
        where = random_filter(dice)
        condition = pushed(where)
        for chunk in chunks:
            right = matches(where, chunk.meta, chunk.readers)
            found = holds(condition, described(chunk.meta, chunk.readers))
            assert found or not right, (where, chunk.meta, condition)
            let_through += found
            passed += right
    assert let_through < 1.25 * passed  # and little else is let through


def test_shapes_that_chroma_refuses_are_not_made() -> None:
    assert pushed(None) is True
    assert pushed(All(())) is True
    assert pushed(AnyOf(())) is False
    assert pushed(All((Eq("a", "x"),))) == {"s:a": {"$eq": "x"}}
    assert pushed(Not(Exists("a"))) == {"t:a": {"$nin": ["s", "n", "b", "x"]}}
    assert pushed(Compare("a", "lt", 3)) == {"$or": [{"n:a": {"$lt": 3.0}}, {"t:a": {"$eq": "x"}}]}
    assert pushed(Readable(frozenset({"é"}))) == {
        "$or": [{"p": {"$eq": True}}, {"r:\\xe9": {"$eq": True}}]
    }


def test_any_name_and_value_can_be_kept() -> None:
    found = described({"": "\ud800", "a\x00b": True, "n": 2**60, "f": float("nan")}, ["é"])
    assert all(key.isascii() and key for key in found)
    assert found["t:n"] == found["t:f"] == "x"
    assert found["p"] is False
