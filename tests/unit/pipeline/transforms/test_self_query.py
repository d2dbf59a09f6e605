from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ragstack.filters import Filter, matches
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.transforms.desk import WorkingDesk
from ragstack.pipeline.transforms.fields import fields_of, readable
from ragstack.pipeline.transforms.self_query import SelfQuery, condition_of, named
from ragstack.protocols import Field, Plan, Query
from ragstack.types import DocumentInfo, Scalar

MakeDesk = Callable[..., WorkingDesk]


def info(source: str, *readers: str, **meta: Scalar) -> DocumentInfo:
    return DocumentInfo(source, source, "d", "o", meta, readers, 10, 1)


DOCUMENTS = (
    info("a", language="en", year=2019, date="2019-05-01", author="Anna Lund", signed=True),
    info("b", language="fr", year=2020, date="2020-06-15", author="Karl Berg", signed=False),
)
SECRET = info("c", "hr", author="Secret Person", year=2031)


def where(make_desk: MakeDesk, question: str, *conditions: object) -> tuple[Filter | None, str]:
    desk = make_desk({"conditions": list(conditions)}, documents=DOCUMENTS)
    plan = SelfQuery().plan(Plan(question, (Query(question),)), desk)
    return plan.where, " ".join(desk.notes)


def condition(field: str, op: str, value: object) -> dict[str, object]:
    return {"field": field, "op": op, "value": value}


def passed(found: Filter | None) -> list[str]:
    return [one.id for one in DOCUMENTS if found is None or matches(found, one.meta)]


@pytest.mark.parametrize(
    ("question", "conditions", "expected"),
    [
        ("What did Anna Lund write?", [condition("author", "eq", "Anna Lund")], ["a"]),
        ("Contracts after 2019", [condition("year", "gt", 2019)], ["b"]),
        ("What happened in 2020?", [condition("date", "eq", "2020")], ["b"]),
        ("Until 2019, who?", [condition("date", "lte", "2019")], ["a"]),
        ("Which French documents?", [condition("language", "eq", "fr")], ["b"]),
        ("Quels documents en anglais ?", [condition("language", "eq", "en")], ["a"]),
        ("Which are signed?", [condition("signed", "eq", True)], ["a"]),
        (
            "What did Karl Berg write in 2020?",
            [condition("author", "eq", "Karl Berg"), condition("year", "eq", 2020)],
            ["b"],
        ),
    ],
)
def test_conditions_that_the_question_names(
    make_desk: MakeDesk, question: str, conditions: list[object], expected: list[str]
) -> None:
    found, _ = where(make_desk, question, *conditions)
    assert found is not None
    assert passed(found) == expected


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (condition("author", "eq", "Karl Berg"), "does not say it"),
        (condition("year", "eq", 1999), "does not say it"),
        (condition("language", "eq", "fr"), "does not say it"),
        (condition("price", "eq", 3), "no such condition"),
        (condition("year", "like", 2019), "no such condition"),
        (condition("year", "eq", "2019"), "no such condition"),
        (condition("signed", "eq", 1), "no such condition"),
        (condition("author", "gt", "Anna Lund"), "no such condition"),
        (condition("date", "eq", "soon"), "no such condition"),
        ({"field": None, "op": None, "value": {"$or": []}}, "no such condition"),
    ],
)
def test_a_wrong_condition_is_left_out_and_the_trace_says_so(
    make_desk: MakeDesk, wrong: object, reason: str
) -> None:
    found, notes = where(make_desk, "What did Anna Lund write in 2019?", wrong)
    assert found is None
    assert reason in notes
    assert "no filter" in notes


def test_a_filter_that_nothing_passes_is_none(make_desk: MakeDesk) -> None:
    conditions = [condition("author", "eq", "Anna Lund"), condition("year", "eq", 2020)]
    found, notes = where(make_desk, "What did Anna Lund write in 2020?", *conditions)
    assert found is None
    assert "no document passes it" in notes


@pytest.mark.parametrize("reply", ["", "{}", '{"conditions": "all"}', '{"conditions": [1, null]}'])
def test_garbage_is_no_filter(make_desk: MakeDesk, reply: str) -> None:
    desk = make_desk(reply, documents=DOCUMENTS)
    plan = Plan("Anna Lund?", (Query("Anna Lund?"),))
    assert SelfQuery().plan(plan, desk) == plan


def test_what_the_asker_may_not_read_reaches_no_prompt(make_desk: MakeDesk) -> None:
    generator = ScriptedGenerator(['{"conditions": []}'])
    shown = readable([*DOCUMENTS, SECRET], ["anna"])
    desk = make_desk(generator=generator, documents=shown)
    SelfQuery().plan(Plan("Secret Person?", (Query("Secret Person?"),)), desk)
    asked = generator.asked[0]
    assert "Secret Person" not in asked.messages[1].text.partition("Question:")[0]
    assert "Secret Person" not in json.dumps(asked.grammar.schema)  # type: ignore[union-attr]
    assert SECRET in readable([SECRET], ["hr"])


def test_fields_are_typed_by_what_they_hold() -> None:
    metas = [
        {"n": 1, "flag": True, "day": "2020-01-02", "mixed": 1, "who": "x", "none": None},
        {"n": 2.5, "flag": False, "day": "2021", "mixed": "y", "who": "2020", "none": None},
    ]
    found = {field.name: field for field in fields_of(metas)}  # type: ignore[arg-type]
    assert {name: field.type for name, field in found.items()} == {
        "n": "number",
        "flag": "boolean",
        "day": "date",
        "who": "text",
    }
    assert found["n"].values == (1, 2.5)
    many = fields_of([{"id": f"id {number}"} for number in range(100)])
    assert many[0].values == ()


@pytest.mark.parametrize(
    ("op", "value", "inside", "outside"),
    [
        ("eq", "2020", ["2020-01-01", "2020-12-31T10:00", "2020"], ["2019-12-31", "2021-01-01"]),
        ("eq", "2020-12", ["2020-12-31"], ["2020-11-30", "2021-01-01"]),
        ("eq", "2020-02-29", ["2020-02-29", "2020-02-29T09:00"], ["2020-03-01", "2020-02-28"]),
        ("lt", "2020", ["2019-12-31"], ["2020-01-01"]),
        ("lte", "2020", ["2020-12-31"], ["2021"]),
        ("gt", "2020", ["2021-01-01"], ["2020-12-31"]),
        ("gte", "2020-06", ["2020-06-01"], ["2020-05-31"]),
    ],
)
def test_a_date_stands_for_all_of_its_days(
    op: str, value: str, inside: list[str], outside: list[str]
) -> None:
    found = condition_of(Field("date", "date"), op, value)
    assert all(matches(found, {"date": day}) for day in inside)
    assert not any(matches(found, {"date": day}) for day in outside)


def test_a_number_is_named_as_written() -> None:
    field = Field("price", "number")
    assert named(field, 1200, "What costs 1,200 euros?")
    assert not named(field, 1200, "What costs 120 euros?")
