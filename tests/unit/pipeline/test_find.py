"""Transforms in a stack: composed by configuration and by call, traced, and bound by rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ragstack import Message, Stack, Turn
from ragstack.errors import ConfigError, InputError, UnknownPlugin
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.find import Search
from ragstack.testing.transforms import HOSTILE

OpenStack = Callable[..., Stack]
BY_RULE = ("decompose", "route", "as_of")
TWO = "Who built the lighthouse and when does the ferry leave?"


def sources(found: Sequence[object]) -> list[str]:
    return [Path(passage.source).name for passage in found]  # type: ignore[attr-defined]


def test_off_by_default(stack: Stack) -> None:
    found = stack.find(TWO)
    assert [step.name for step in found.trace] == ["search"]
    assert list(found.passages) == stack.search(TWO) == stack.search(TWO, transforms=())


def test_by_call_and_by_configuration(
    open_stack: OpenStack, stack: Stack, corpus_folder: Path
) -> None:
    found = stack.search(TWO, k=4, transforms=["decompose"])
    assert {"lighthouse.md", "ferry.md"} <= set(sources(found))
    assert any(name.startswith("query.decompose.") for name in found[0].trail)
    overrides = {"retrieve": {"transforms": ["decompose"]}, "transform": {"decompose": {"most": 2}}}
    other = open_stack("kb", overrides=overrides)
    assert sources(other.search(TWO, k=4)) == sources(found)
    assert [step.name for step in other.find(TWO).trace] == ["decompose", "search", "fuse"]


def test_names_and_options_that_do_not_exist(open_stack: OpenStack, stack: Stack) -> None:
    with pytest.raises(UnknownPlugin, match="multi_query"):
        stack.search(TWO, transforms=["multy_query"])
    with pytest.raises(InputError, match="list of names"):
        stack.search(TWO, transforms="decompose")
    with pytest.raises(InputError, match="list of names"):
        stack.ask(TWO, transforms="decompose")
    broken = open_stack("kb", overrides={"transform": {"decompose": {"mots": 2}}})
    with pytest.raises(ConfigError, match="mots"):
        broken.search(TWO, transforms=["decompose"])
    for wrong in ("decompose", ["decompose", 3], {"decompose": 1}):
        with pytest.raises(ConfigError, match="list of names"):
            open_stack("kb", overrides={"retrieve": {"transforms": wrong}})


def test_a_question_that_is_blank_or_a_bad_number(stack: Stack) -> None:
    for question in ("", " \n"):
        with pytest.raises(InputError, match="not blank"):
            stack.find(question)
    with pytest.raises(InputError, match="at least 1"):
        stack.search("x", k=0)


@pytest.mark.parametrize("question", HOSTILE)
def test_hostile_questions_are_searched_like_any(stack: Stack, question: str) -> None:
    found = stack.find(question, Search(transforms=BY_RULE))
    assert len(found.passages) <= 12


def test_an_answer_tells_its_trace(open_stack: OpenStack, corpus_folder: Path) -> None:
    def say(messages: Sequence[Message]) -> str:
        if "other ways" in messages[-1].text:
            return json.dumps({"queries": ["Which engineer raised the lighthouse?"]})
        return "Agnes Murray"

    generator = ScriptedGenerator(say, scores=lambda _m, text: -0.1 if text == "yes" else -3.0)
    stack = open_stack(generator=generator)
    stack.ingest(corpus_folder)
    answer = stack.ask("Who built the lighthouse?", style="brief", transforms=["multi_query"])
    assert answer.text.startswith("Agnes Murray")
    names = [step.name for step in answer.trace]
    assert names == ["multi_query", "search", "fuse", "answer"]
    assert answer.trace[0].produced == ("multi_query.1: Which engineer raised the lighthouse?",)
    assert answer.trace[0].usage.answer_tokens > 0
    assert answer.usage.prompt_tokens == sum(step.usage.prompt_tokens for step in answer.trace)


def test_a_filter_never_widens_what_the_asker_may_read(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    public, secret = tmp_path / "public", tmp_path / "secret"
    for folder, text in ((public, "The rent is 700 euros."), (secret, "The salary is 9 euros.")):
        folder.mkdir()
        (folder / "a.txt").write_text(text, "utf-8")
    seen: list[str] = []

    def say(messages: Sequence[Message]) -> str:
        seen.append("\n".join(message.text for message in messages))
        wrong = {"field": "team", "op": "eq", "value": "hr"}
        return json.dumps({"conditions": [wrong]})

    stack = open_stack(generator=ScriptedGenerator(say))
    stack.ingest(public, meta={"team": "sales"})
    stack.ingest(secret, meta={"team": "hr"}, readers=["boss"])
    question = "What does the hr team say of the salary?"
    found = stack.find(question, Search(transforms=("self_query",)))
    assert found.plan.where is None
    assert sources(found.passages) == ["a.txt"]
    assert "rent" in found.passages[0].chunk.text
    assert "team (text): sales" in seen[0]
    boss = stack.find(question, Search(asker=("boss",), transforms=("self_query",)))
    assert "salary" in boss.passages[0].chunk.text
    assert len(boss.passages) == 1


def test_a_conversation_is_rewritten(open_stack: OpenStack, corpus_folder: Path) -> None:
    generator = ScriptedGenerator([json.dumps({"text": "When was the lighthouse built?"})])
    stack = open_stack(generator=generator)
    stack.ingest(corpus_folder)
    turns = (Turn("Who built the lighthouse?", "Agnes Murray"),)
    found = stack.find("When was it built?", Search(transforms=("rewrite",), conversation=turns))
    assert found.plan.question == "When was the lighthouse built?"
    assert sources(found.passages)[0] == "lighthouse.md"


def test_corrective_abstains_and_asks_back(open_stack: OpenStack, corpus_folder: Path) -> None:
    replies = iter(
        [
            json.dumps({"queries": ["price of the lighthouse"]}),
            json.dumps({"unclear": True, "question": "Which lighthouse do you mean?"}),
        ]
    )

    def say(messages: Sequence[Message]) -> str:
        return next(replies) if "JSON" in messages[-1].text else "not in the passages"

    generator = ScriptedGenerator(say, scores=lambda _m, text: -0.1 if text == "no" else -9.0)
    stack = open_stack(generator=generator)
    stack.ingest(corpus_folder)
    answer = stack.ask("What did the lighthouse cost?", transforms=["corrective"])
    assert answer.abstained
    assert answer.text == "Which lighthouse do you mean?"
    steps = [step.name for step in answer.trace]
    assert steps == ["search", "corrective", "search", "fuse", "corrective", "answer"]


def test_route_chooses_indexes_generators_and_no_search(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    ways = {"easy": {"generator": "large", "style": "brief"}}
    overrides = {
        "transform": {"route": {"ways": ways}},
        "generators": {"large": {"use": "scripted", "replies": ["Agnes Murray"]}},
    }
    stack = open_stack(overrides=overrides)
    stack.ingest(corpus_folder)
    answer = stack.ask("Who built the lighthouse?", transforms=["route"])
    assert answer.text.startswith("Agnes Murray")
    assert stack.ask("Thank you!", transforms=["route"]).text.startswith("Ask me a question")
    found = stack.find('Where is "the lighthouse"?', Search(transforms=("route",)))
    assert set(found.passages[0].trail) == {"lexical"}
    wrong = open_stack("kb2", overrides={"transform": {"route": {"ways": ways}}})
    wrong.ingest(corpus_folder)
    with pytest.raises(ConfigError, match=r"\[generators.large\]"):
        wrong.ask("Who built the lighthouse?", transforms=["route"])


def test_disagreement_reaches_the_reader(open_stack: OpenStack, tmp_path: Path) -> None:
    for name, rent in (("a", 700), ("b", 900)):
        text = f"The monthly rent of the house is {rent} euros."
        (tmp_path / f"{name}.txt").write_text(text, "utf-8")
    stack = open_stack()
    stack.ingest(tmp_path / "a.txt", tmp_path / "b.txt")
    answer = stack.ask("What is the rent of the house?", transforms=["as_of"])
    assert any("disagree" in note for note in answer.notes)
