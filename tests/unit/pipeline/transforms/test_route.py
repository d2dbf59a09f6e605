from __future__ import annotations

from collections.abc import Callable

import pytest

from ragstack.pipeline.transforms.desk import WorkingDesk
from ragstack.pipeline.transforms.route import Route, kind_of
from ragstack.protocols import Plan, Query

MakeDesk = Callable[..., WorkingDesk]


def plan_of(question: str) -> Plan:
    return Plan(question, (Query(question),))


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Hello!", "greeting"),
        ("Merci beaucoup", "greeting"),
        ("Good morning", "greeting"),
        ("Hello, who pays?", "easy"),
        ("Where is AB-1234?", "exact"),
        ("What does parse_templates do?", "exact"),
        ('Where does it say "the tenant pays"?', "exact"),
        ("Où est écrit « le locataire paie » ?", "exact"),
        ("Who built the lighthouse?", "easy"),
        ("Qui a construit le phare ?", "easy"),
        ("Who built it and when was it lit?", "several"),
        ("Summarise the lease", "broad"),
        ("Fais la synthèse du bail", "broad"),
        ("Why was the ferry late?", "hard"),
        ("Pourquoi le ferry était-il en retard ?", "hard"),
        ("", "easy"),
    ],
)
def test_kinds_by_rule(question: str, kind: str) -> None:
    assert kind_of(question) == kind


def test_a_greeting_is_not_searched(make_desk: MakeDesk) -> None:
    plan = Route().plan(plan_of("Bonjour !"), make_desk(language="fr"))
    assert plan.reply.startswith("Posez-moi")


def test_an_identifier_is_searched_by_words(make_desk: MakeDesk) -> None:
    plan = Route().plan(plan_of("Where is AB-1234?"), make_desk())
    assert plan.queries[0].indexes == ("lexical",)


def test_several_questions_are_taken_apart(make_desk: MakeDesk) -> None:
    plan = Route().plan(plan_of("Who built it and when was it lit?"), make_desk())
    assert (plan.k, plan.then) == (10, ("decompose",))


def test_ways_can_be_configured(make_desk: MakeDesk) -> None:
    ways = {"easy": {"generator": "large", "style": "brief", "k": 2, "indexes": ["vector"]}}
    plan = Route(ways=ways).plan(plan_of("Who pays?"), make_desk())
    assert (plan.generator, plan.style, plan.k) == ("large", "brief", 2)
    assert plan.queries[0].indexes == ("vector",)


@pytest.mark.parametrize(("reply", "k"), [({"kind": "broad"}, 12), ({"kind": "greeting"}, None)])
def test_the_generator_may_name_the_kind_but_not_stop_the_search(
    make_desk: MakeDesk, reply: dict[str, str], k: int | None
) -> None:
    plan = Route(by="generator").plan(plan_of("Who pays?"), make_desk(reply))
    assert (plan.k, plan.reply) == (k, "")


@pytest.mark.parametrize("reply", ["", "{}", '{"kind": ["x"]}', '{"kind": "weird"}'])
def test_garbage_is_the_rules_choice(make_desk: MakeDesk, reply: str) -> None:
    plan = Route(by="generator").plan(plan_of("Why does the tenant pay?"), make_desk(reply))
    assert plan.k == 10
