"""Random chunks with metadata of every type, random conditions on them: for tests of indexes."""

from __future__ import annotations

import random
from dataclasses import replace

from ragstack.filters import All, AnyOf, Compare, Eq, Exists, Filter, In, Not, Readable
from ragstack.types import Chunk, Scalar

__all__ = ["chunk_of", "random_chunks", "random_filter"]

_VALUES: tuple[Scalar, ...] = (
    *(None, True, False, 0, 1, -1, 2**53, 2**53 + 1, 1.0, 1.5, -0.0, float("nan"), float("inf")),
    *("", "a", "b", "é", "1", "2020-01-01", "2021-06-30", "\ud800", "x\x00y"),
)
_FIELDS = ("one", "two", "missing", "a.b", "")
_PEOPLE = ("ann", "bob", "group:staff", "")


def chunk_of(name: str, text: str, **more: object) -> Chunk:
    """Return a chunk that is a document of its own; ``more`` are fields of Chunk."""
    chunk = Chunk(name, "00000000", 0, len(text), text)
    return replace(chunk, **more)  # type: ignore[arg-type]


def random_chunks(count: int, *, seed: int) -> list[Chunk]:
    """Return chunks that share one word and have metadata of every type, some with readers."""
    dice = random.Random(seed)
    return [
        chunk_of(
            f"d{number:04}",
            f"common word{number} " + " ".join(dice.choices(["rose", "lily", "fern", "moss"], k=5)),
            meta={name: dice.choice(_VALUES) for name in dice.sample(_FIELDS, dice.randrange(4))},
            readers=tuple(dice.sample(_PEOPLE, dice.choice((0, 0, 1, 2)))),
        )
        for number in range(count)
    ]


def random_filter(dice: random.Random, *, depth: int = 3) -> Filter:
    """Return a condition of any shape on the fields of ``random_chunks``."""
    kind = dice.randrange(8 if depth else 5)
    name, some = dice.choice((*_FIELDS, "never")), dice.choice(_VALUES)
    if kind == 0:
        return Eq(name, some)
    if kind == 1:
        return In(name, tuple(dice.choices(_VALUES, k=dice.randrange(4))))
    if kind == 2:
        value = some if isinstance(some, (str, float)) else dice.choice((0, 1, 2**53))
        return Compare(name, dice.choice(("lt", "lte", "gt", "gte")), value)
    if kind == 3:
        return Exists(name)
    if kind == 4:
        return Readable(frozenset(dice.sample(_PEOPLE, dice.randrange(3))))
    parts = tuple(random_filter(dice, depth=depth - 1) for _ in range(dice.randrange(4)))
    if kind == 5:
        return All(parts)
    return AnyOf(parts) if kind == 6 else Not(random_filter(dice, depth=depth - 1))
