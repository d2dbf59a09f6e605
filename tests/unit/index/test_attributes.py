from __future__ import annotations

import random

import numpy as np

from ragstack.filters import Compare, Eq, Exists, In, Not, Readable, matches
from ragstack.index.attributes import Attributes
from ragstack.testing.indexes import random_chunks, random_filter


def columns(metas: list[dict[str, object]]) -> dict[str, list[object]]:
    names = {name for meta in metas for name in meta}
    return {name: [meta.get(name) for meta in metas] for name in names}


def put(attributes: Attributes, rows: list[int], metas: list, readers: list) -> None:
    attributes.put(np.array(rows), columns(metas), readers)


def test_any_filter_is_what_matches_says() -> None:
    chunks, attributes, dice = random_chunks(300, seed=1), Attributes(), random.Random(2)
    for start in range(0, 300, 60):  # answers kept from before meet new values
        some = chunks[start : start + 60]
        rows = list(range(start, start + 60))
        put(attributes, rows, [dict(c.meta) for c in some], [c.readers for c in some])
        for _ in range(200):
            where = random_filter(dice)
            expected = [matches(where, c.meta, c.readers) for c in chunks[: start + 60]]
            assert attributes.mask(where, start + 60).tolist() == expected, where


def test_row_that_is_given_again_forgets_what_it_held() -> None:
    attributes = Attributes()
    put(attributes, [0, 1], [{"a": 1, "b": 2}, {"a": 1}], [("ann",), ()])
    put(attributes, [0], [{"c": 3}], [()])
    assert attributes.mask(Exists("a"), 2).tolist() == [False, True]
    assert attributes.mask(Exists("b"), 2).tolist() == [False, False]
    assert attributes.mask(Readable(frozenset()), 2).tolist() == [True, True]
    assert attributes.take(np.array([0, 1])) == ([{"c": 3}, {"a": 1}], [(), ()])


def test_no_rows_and_rows_never_described() -> None:
    attributes = Attributes()
    assert attributes.mask(Exists("a"), 0).tolist() == []
    assert attributes.mask(Not(Eq("a", 1)), 3).tolist() == [True] * 3
    put(attributes, [0], [{"a": 1}], [()])
    assert attributes.mask(Exists("a"), 3).tolist() == [True, False, False]


def test_exact_where_floats_are_not() -> None:
    attributes, big = Attributes(), 2**53
    put(attributes, [0, 1, 2], [{"n": big}, {"n": big + 1}, {"n": float(big)}], [()] * 3)
    assert attributes.mask(Eq("n", big + 1), 3).tolist() == [False, True, False]
    assert attributes.mask(Compare("n", "gt", big), 3).tolist() == [False, True, False]
    assert attributes.mask(In("n", (float(big),)), 3).tolist() == [True, False, True]


def test_many_conditions_do_not_pile_up() -> None:
    attributes = Attributes()
    put(attributes, [0], [{"n": 1}], [()])
    for number in range(1_000):
        assert attributes.mask(Eq("n", number), 1).tolist() == [number == 1]
    assert len(attributes._answers) < 100
