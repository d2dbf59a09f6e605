from __future__ import annotations

import json

import pytest

from ragstack.errors import InputError
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
    written,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("where", "meaning"),
    [
        (None, None),
        ({}, All(())),
        ({"a": "x"}, Eq("a", "x")),
        ({"a": None}, Eq("a", None)),
        ({"a": ["x", 1]}, In("a", ("x", 1))),
        ({"a": ()}, In("a", ())),
        ({"a": {"gte": 1}}, Compare("a", "gte", 1)),
        ({"a": {"$lt": "x"}}, Compare("a", "lt", "x")),
        ({"a": {"gt": 1, "lte": 2}}, All((Compare("a", "gt", 1), Compare("a", "lte", 2)))),
        ({"a": {"ne": 1}}, Not(Eq("a", 1))),
        ({"a": {"eq": None}}, Eq("a", None)),
        ({"a": {"in": [1]}}, In("a", (1,))),
        ({"a": {"nin": [1]}}, Not(In("a", (1,)))),
        ({"a": {"exists": True}}, Exists("a")),
        ({"a": {"exists": False}}, Not(Exists("a"))),
        ({"a": {}}, All(())),
        ({"a": 1, "b": 2}, All((Eq("a", 1), Eq("b", 2)))),
        ({"$or": [{"a": 1}, {"b": 2}]}, AnyOf((Eq("a", 1), Eq("b", 2)))),
        ({"$and": []}, All(())),
        ({"$not": {"a": 1}}, Not(Eq("a", 1))),
        ({"$not": Exists("a")}, Not(Exists("a"))),
        (Exists("a"), Exists("a")),
    ],
)
def test_what_a_dict_means(where: object, meaning: Filter | None) -> None:
    assert parse(where) == meaning  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("a", "a filter is a dict"),
        (["a"], "a filter is a dict"),
        ({"a": object()}, "cannot use"),
        ({"a": b"x"}, "cannot use"),
        ({"a": {"in": b"x"}}, "takes a list of values"),
        ({"a": {"like": "x"}}, "unknown operator 'like' on 'a'; known: eq ne lt"),
        ({"a": {"gt": True}}, "takes a number or text, got True"),
        ({"a": {"gt": None}}, "takes a number or text"),
        ({"a": {"in": "x"}}, "takes a list of values"),
        ({"a": [["x"]]}, "takes text, numbers"),
        ({"$xor": []}, "unknown filter word '\\$xor'"),
        ({"$or": {"a": 1}}, "'\\$or' takes a list of filters"),
        ({"$or": "ab"}, "'\\$or' takes a list of filters"),
        ({"$and": [None]}, "a filter is a dict"),
        ({"$not": 3}, "a filter is a dict"),
    ],
)
def test_what_means_nothing_is_refused(where: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(where)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "meta", "holds"),
    [
        (Eq("a", 1), {"a": 1.0}, True),
        (Eq("a", 1), {"a": True}, False),
        (Eq("a", True), {"a": 1}, False),
        (Eq("a", True), {"a": True}, True),
        (Eq("a", "1"), {"a": 1}, False),
        (Eq("a", NAN), {"a": NAN}, False),
        (Eq("a", 2**53 + 1), {"a": float(2**53)}, False),
        (Eq("a", None), {}, True),
        (Eq("a", None), {"a": None}, True),
        (Eq("a", None), {"a": ""}, False),
        (Eq("a", ""), {}, False),
        (Not(Eq("a", 1)), {}, True),
        (In("a", ()), {"a": 1}, False),
        (In("a", (None,)), {}, True),
        (In("a", ("x", 1)), {"a": 1}, True),
        (Compare("a", "lt", 2), {"a": 1.5}, True),
        (Compare("a", "lt", 2), {"a": True}, False),
        (Compare("a", "gte", ""), {"a": 1}, False),
        (Compare("a", "gte", 0), {"a": "1"}, False),
        (Compare("a", "gte", "2020-01-01"), {"a": "2020-06"}, True),
        (Compare("a", "lte", NAN), {"a": 1}, False),
        (Compare("a", "gt", 1), {}, False),
        (Not(Compare("a", "gt", 1)), {}, True),
        (Exists("a"), {"a": None}, False),
        (Exists("a"), {"a": 0}, True),
        (All(()), {}, True),
        (AnyOf(()), {}, False),
    ],
)
def test_what_holds(where: Filter, meta: dict[str, object], holds: bool) -> None:
    assert matches(where, meta) is holds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "readers", "holds"),
    [
        ({"ann"}, (), True),
        (set(), (), True),
        ({"ann"}, ("ann", "bob"), True),
        ({"bob", "staff"}, ("ann", "staff"), True),
        ({"bob"}, ("ann",), False),
        (set(), ("ann",), False),
    ],
)
def test_who_may_read(by: set[str], readers: tuple[str, ...], holds: bool) -> None:
    assert matches(Readable(frozenset(by)), {}, readers) is holds
    assert matches(All((Not(Readable(frozenset(by))),)), {}, readers) is not holds


def test_both_and_fields() -> None:
    assert both(None, None) is None
    assert both(Exists("a"), None) == both(None, Exists("a")) == Exists("a")
    assert both(Exists("a"), Exists("b")) == All((Exists("a"), Exists("b")))
    where = All(
        (Not(Eq("a", 1)), AnyOf((In("b", ()), Compare("c", "lt", 1))), Readable(frozenset()))
    )
    assert fields(where) == {"a", "b", "c"}
    assert fields(None) == frozenset()


@pytest.mark.parametrize(
    "where",
    [
        Eq("language", "fr"),
        Eq("a", None),
        In("n", (1, 1.5, True, None, "x")),
        Compare("year", "gte", 2020),
        Exists("author"),
        All(()),
        AnyOf((Eq("a", 1), Not(All((Exists("b"), In("c", ())))))),
        All((All((Eq("a", 1),)), Eq("a", 2))),
    ],
)
def test_what_is_written_down_means_the_same(where: Filter) -> None:
    assert parse(json.loads(json.dumps(written(where)))) == where


@pytest.mark.parametrize(
    "where", [Readable(frozenset({"a"})), Not(Readable(frozenset())), Eq("$or", 1)]
)
def test_what_has_no_dict_form_is_said(where: Filter) -> None:
    with pytest.raises(InputError, match=r"cannot be written down|has no dict form"):
        written(where)


def test_no_condition_is_written_as_none() -> None:
    assert written(None) is None
