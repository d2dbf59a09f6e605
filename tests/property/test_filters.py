from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ragstack.filters import (
    All,
    AnyOf,
    Compare,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Readable,
    both,
    fields,
    matches,
    parse,
)
from ragstack.index.attributes import Attributes
from ragstack.testing.indexes import random_filter
from ragstack.types import Scalar

NAMES = st.sampled_from(["a", "b", "c.d", ""])
SCALARS: st.SearchStrategy[Scalar] = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "x", "y", "1", "\ud800"])
)
METAS = st.dictionaries(NAMES, SCALARS, max_size=3)
PEOPLE = st.sampled_from(["ann", "bob", ""])
LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Eq, NAMES, SCALARS),
    st.builds(In, NAMES, st.lists(SCALARS, max_size=3).map(tuple)),
    st.builds(
        Compare,
        NAMES,
        st.sampled_from(["lt", "lte", "gt", "gte"]),
        st.sampled_from(["", "x", "1"]) | st.integers() | st.floats(),
    ),
    st.builds(Exists, NAMES),
    st.builds(Readable, st.frozensets(PEOPLE)),
)
FILTERS = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        st.builds(All, st.lists(part, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(part, max_size=3).map(tuple)),
        st.builds(Not, part),
    ),
    max_leaves=8,
)
READERS = st.lists(PEOPLE, max_size=2, unique=True).map(tuple)


@given(FILTERS, FILTERS, METAS, READERS)
def test_de_morgan(
    left: Filter, right: Filter, meta: Mapping[str, Scalar], readers: tuple[str, ...]
) -> None:
    def holds(where: Filter) -> bool:
        return matches(where, meta, readers)

    assert holds(Not(All((left, right)))) == holds(AnyOf((Not(left), Not(right))))
    assert holds(Not(AnyOf((left, right)))) == holds(All((Not(left), Not(right))))
    assert holds(Not(Not(left))) == holds(left)
    assert matches(both(left, right), meta, readers) == (holds(left) and holds(right))


@given(FILTERS, METAS, READERS)
def test_only_the_fields_it_names_count(
    where: Filter, meta: Mapping[str, Scalar], readers: tuple[str, ...]
) -> None:
    some = {name: value for name, value in meta.items() if name in fields(where)}
    assert matches(where, some, readers) == matches(where, meta, readers)


@given(st.lists(st.tuples(METAS, READERS), max_size=6), st.lists(FILTERS, max_size=3))
def test_columns_agree_with_the_definition(
    held: list[tuple[Mapping[str, Scalar], tuple[str, ...]]], wheres: list[Filter]
) -> None:
    attributes = Attributes()
    for row, (meta, readers) in enumerate(held):
        columns = {name: [value] for name, value in meta.items()}
        attributes.put(np.array([row]), columns, [readers])
        for where in wheres:
            expected = [matches(where, *each) for each in held[: row + 1]]
            assert attributes.mask(where, row + 1).tolist() == expected


@given(st.integers())
def test_a_filter_can_be_written_as_a_dict(seed: int) -> None:
    where, dice = random_filter(random.Random(seed)), random.Random(seed + 1)
    written = parse(as_dict(where))
    values = (None, True, 1, 1.5, "a", "b", 2**53, "2020-01-01")
    for _ in range(20):
        meta = {name: dice.choice(values) for name in ("one", "two", "a.b", "")}
        readers = tuple(dice.sample(("ann", "bob"), dice.randrange(3)))
        assert matches(written, meta, readers) == matches(where, meta, readers)


def as_dict(where: Filter) -> object:
    match where:
        case Eq(name, value):
            return {name: {"eq": value}}
        case In(name, values):
            return {name: list(values)}
        case Compare(name, op, value):
            return {name: {op: value}}
        case Exists(name):
            return {name: {"exists": True}}
        case All(parts):
            return {"$and": [as_dict(part) for part in parts]}
        case AnyOf(parts):
            return {"$or": [as_dict(part) for part in parts]}
        case Not(part):
            return {"$not": as_dict(part)}
        case _:
            return where  # who may read is added by the pipeline, never written by a user
