"""Transforms that add searches: rewrite, multi_query, hyde, decompose, step_back, cross_lingual."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ragstack import registry
from ragstack.errors import ConfigError, UnsupportedCapability
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.transforms.cross_lingual import CrossLingual
from ragstack.pipeline.transforms.decompose import Decompose, parts_of
from ragstack.pipeline.transforms.desk import WorkingDesk
from ragstack.pipeline.transforms.hyde import Hyde
from ragstack.pipeline.transforms.multi_query import MultiQuery
from ragstack.pipeline.transforms.rewrite import Rewrite
from ragstack.pipeline.transforms.step_back import StepBack, general
from ragstack.protocols import Plan, Query
from ragstack.types import DocumentInfo, JsonSchema

MakeDesk = Callable[..., WorkingDesk]
QUESTION = "Who built the lighthouse of Varn in 1871?"
HISTORY = "Question: Who built the lighthouse?\nAnswer: Agnes Murray"


def plan_of(question: str) -> Plan:
    return Plan(question, (Query(question),))


def texts(plan: Plan) -> list[str]:
    return [query.text for query in plan.queries]


def test_paraphrases_join_the_question_and_repetitions_do_not(make_desk: MakeDesk) -> None:
    written = ["Who was the lighthouse's builder?", "in 1871 the lighthouse of Varn, who built?"]
    desk = make_desk({"queries": [*written, written[0].upper(), "  ", "Which engineer raised it?"]})
    plan = MultiQuery(count=8).plan(plan_of(QUESTION), desk)
    assert texts(plan) == [QUESTION, written[0], "Which engineer raised it?"]
    assert [query.label for query in plan.queries] == [
        "question",
        "multi_query.1",
        "multi_query.2",
    ]
    assert {query.weight for query in plan.queries[1:]} == {0.3}
    assert desk.usage.answer_tokens > 0


def test_the_generator_is_held_to_a_bounded_schema(make_desk: MakeDesk) -> None:
    generator = ScriptedGenerator(['{"queries": ["the builder"]}'])
    MultiQuery(count=2).plan(plan_of(QUESTION), make_desk(generator=generator))
    grammar = generator.asked[0].grammar
    assert isinstance(grammar, JsonSchema)
    listed: Mapping[str, Any] = grammar.schema["properties"]["queries"]  # type: ignore[index,call-overload]
    assert (listed["maxItems"], listed["items"]["maxLength"]) == (2, 200)


@pytest.mark.parametrize("reply", ["", "no JSON", "[1]", "{}", '{"queries": 7}', '{"text": null}'])
@pytest.mark.parametrize("name", ["multi_query", "hyde", "step_back", "rewrite", "cross_lingual"])
def test_what_is_no_answer_changes_nothing(make_desk: MakeDesk, name: str, reply: str) -> None:
    desk = make_desk(reply)
    plan = registry.create("transforms", name, {}).plan(plan_of(QUESTION), desk)
    assert plan == plan_of(QUESTION)


def test_a_made_up_passage_is_searched_by_vectors_alone(make_desk: MakeDesk) -> None:
    desk = make_desk({"text": "Agnes Murray\nbuilt the tower."})
    added = Hyde().plan(plan_of(QUESTION), desk).queries[1]
    assert added == Query("Agnes Murray built the tower.", "hyde", 0.3, ("vector",))


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "Who built the lighthouse and when was it lit?",
            ["Who built the lighthouse", "when was it lit?"],
        ),
        (
            "Qui a construit le phare et combien a-t-il coûté ?",
            ["Qui a construit le phare", "combien a-t-il coûté ?"],
        ),
        (
            "What is the difference between the old lease and the new lease?",
            ["the old lease", "the new lease"],
        ),
        ("Compare le bail avec le prêt.", ["le bail", "le prêt"]),
        ("The ferry was late. Who pays? How much?", ["The ferry was late.", "Who pays?"]),
        ("Who keeps bees and goats?", ["Who keeps bees and goats?"]),
        ("", []),
    ],
)
def test_parts_by_rule(question: str, parts: list[str]) -> None:
    found = parts_of(question)
    assert found[: len(parts)] == parts
    assert question.startswith("The ferry") or len(found) == len(parts)


def test_a_question_of_one_part_stays(make_desk: MakeDesk) -> None:
    assert Decompose().plan(plan_of(QUESTION), make_desk()) == plan_of(QUESTION)
    desk = make_desk({"queries": ["Who built Varn's lighthouse?"]})
    assert Decompose(by="generator").plan(plan_of(QUESTION), desk) == plan_of(QUESTION)


def test_parts_are_searched_beside_the_question(make_desk: MakeDesk) -> None:
    question = "Who built the lighthouse and when was it lit?"
    plan = Decompose().plan(plan_of(question), make_desk())
    assert texts(plan) == [question, "Who built the lighthouse", "when was it lit?"]


@pytest.mark.parametrize(
    ("question", "wider"),
    [
        ("How high were the tides at Varn in March 1871?", "high tides"),
        ("Combien coûte la caution du bail de Paul Weber ?", "coûte caution bail"),
        ("Who built it?", ""),
        ("the price of bread", ""),
        ('What does "force majeure" mean for tenants and landlords?', "mean tenants landlords"),
    ],
)
def test_a_wider_question_by_rule(question: str, wider: str) -> None:
    assert general(question) == wider


def test_a_wider_question_by_generator(make_desk: MakeDesk) -> None:
    desk = make_desk({"text": "How are lighthouses built?"})
    assert texts(StepBack().plan(plan_of(QUESTION), desk))[1:] == ["How are lighthouses built?"]


def test_a_follow_up_takes_the_questions_place(make_desk: MakeDesk) -> None:
    desk = make_desk({"text": "When did Agnes Murray build the lighthouse?"}, history=HISTORY)
    plan = Rewrite().plan(plan_of("When did she build it?"), desk)
    assert plan == plan_of("When did Agnes Murray build the lighthouse?")


def test_a_rewriting_that_invents_is_not_used(make_desk: MakeDesk) -> None:
    desk = make_desk({"text": "Napoleon conquered Russia with elephants"}, history=HISTORY)
    assert Rewrite().plan(plan_of("When?"), desk) == plan_of("When?")
    assert "not used" in desk.notes[0]


def test_a_rambling_question_is_also_searched_plainly(make_desk: MakeDesk) -> None:
    asked = "Hello, I was wondering if you could perhaps tell me who built the lighthouse, please"
    plan = Rewrite().plan(plan_of(asked), make_desk({"text": "Who built the lighthouse?"}))
    assert plan.question == asked
    assert texts(plan) == [asked, "Who built the lighthouse?"]


def test_a_translation_is_searched_by_words_alone(make_desk: MakeDesk) -> None:
    desk = make_desk({"text": "Qui a construit le phare de Varn en 1871 ?"})
    added = CrossLingual().plan(plan_of(QUESTION), desk).queries[1:]
    assert [(q.label, q.indexes) for q in added] == [("cross_lingual.fr", ("lexical",))]


def test_a_translation_that_changes_a_number_is_not_used(make_desk: MakeDesk) -> None:
    desk = make_desk({"text": "Qui a construit le phare de Varn en 1817 ?"})
    assert CrossLingual().plan(plan_of(QUESTION), desk) == plan_of(QUESTION)
    assert "numbers differ" in desk.notes[0]


def test_only_languages_of_the_documents_are_translated_to(make_desk: MakeDesk) -> None:
    info = DocumentInfo("a", "a", "d", "o", {"language": "en"}, (), 1, 1)
    desk = make_desk(documents=[info])  # the script is empty: nothing may be asked
    assert CrossLingual().plan(plan_of(QUESTION), desk) == plan_of(QUESTION)
    desk = make_desk({"text": "Who built the lighthouse?"}, language="fr", documents=[info])
    plan = CrossLingual().plan(plan_of("Qui a construit le phare ?"), desk)
    assert texts(plan)[1:] == ["Who built the lighthouse?"]


def test_a_generator_without_schemas_is_refused(make_desk: MakeDesk) -> None:
    class Bare(RemoteGenerator):
        @property
        def capabilities(self) -> Any:
            return type("None", (), {"grammars": frozenset()})()

    with Bare(url="http://127.0.0.1:1/v1", model="any") as generator:
        desk = make_desk(generator=generator)
        with pytest.raises(UnsupportedCapability, match="JSON schema"):
            MultiQuery().plan(plan_of(QUESTION), desk)


def test_a_huge_question_reaches_no_generator_whole(make_desk: MakeDesk) -> None:
    generator = ScriptedGenerator(['{"queries": ["the builder"]}'], context_size=4096)
    plan = MultiQuery().plan(plan_of("lighthouse " * 20_000), make_desk(generator=generator))
    assert len(plan.queries) == 2
    tiny = ScriptedGenerator([], context_size=64)
    desk = make_desk(generator=tiny)
    assert MultiQuery().plan(plan_of(QUESTION), desk) == plan_of(QUESTION)
    assert "window" in desk.notes[0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("multi_query", {"count": 0}),
        ("multi_query", {"count": 9}),
        ("decompose", {"by": "magic"}),
        ("decompose", {"most": 1}),
        ("step_back", {"by": ""}),
        ("cross_lingual", {"languages": ["xx"]}),
        ("cross_lingual", {"languages": "fr"}),
        ("recursive", {"steps": 0}),
        ("corrective", {"searches": 4}),
        ("as_of", {"date": "yesterday"}),
        ("as_of", {"half_life_days": -1.0}),
        ("route", {"by": "luck"}),
        ("route", {"ways": {"odd": {}}}),
        ("route", {"ways": {"easy": {"k": 0}}}),
        ("route", {"ways": {"easy": {"indexes": "lexical"}}}),
        ("route", {"ways": {"easy": {"transforms": ["route"]}}}),
        ("route", {"ways": {"easy": 3}}),
        ("hyde", {"unknown": 1}),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        registry.create("transforms", name, options)
