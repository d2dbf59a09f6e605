"""Templates: the same in every language, checked when read and when used."""

from __future__ import annotations

import pytest

from ragstack.errors import ConfigError, InputError
from ragstack.generate.prompts.templates import (
    LANGUAGES,
    Template,
    parse_templates,
    template,
    template_names,
)
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.generate.vote import folded, vote
from ragstack.types import Sampling

_GOOD = '["a@1"]\nvariables = ["x"]\nsystem = "Be brief."\nuser = "{x}"\n'


def test_the_names() -> None:
    assert template_names() == ["cot-passages@1", "cot@1", "few-shot-cot@1", "few-shot@1"]


@pytest.mark.parametrize("name", template_names())
def test_every_language_has_the_same(name: str) -> None:
    english, *others = (template(name, language) for language in LANGUAGES)
    for other in others:
        assert (other.variables, other.example) == (english.variables, english.example)
        assert bool(other.mark) == bool(english.mark)
        assert (other.name, other.language) != (english.name, english.language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", template_names())
def test_what_is_asked_for_is_what_is_read(name: str, language: str) -> None:
    """A mark that the words do not name would never come."""
    found = template(name, language)
    if found.mark:
        asked = found.user + found.answered
        assert found.mark in asked.replace("\N{NO-BREAK SPACE}", " ")
        assert found.conclusion(f"{found.mark} wrong\n{found.mark} right\n") == "right"


def test_a_chain_of_thought_is_asked_for() -> None:
    system, user = template("cot@1").messages(question="What is {six} times seven?")
    assert system.role == "system" and user.role == "user"
    assert user.text.startswith("What is {six} times seven?\n\nThink step by step.")


def test_examples_are_turns() -> None:
    examples = [
        {"input": "good", "output": "+"},
        {"input": "{bad}", "output": "-"},
    ]
    said = template("few-shot").messages(examples, task="Say the tone.", input="fine")
    assert [(message.role, message.text) for message in said] == [
        ("system", "Say the tone."),
        ("user", "good"),
        ("assistant", "+"),
        ("user", "{bad}"),
        ("assistant", "-"),
        ("user", "fine"),
    ]


def test_examples_of_thought_end_with_the_mark() -> None:
    found = template("few-shot-cot", "fr")
    example = {"question": "2 + 2 ?", "thought": "Deux et deux.", "answer": "4"}
    _, _, answered, _ = found.messages([example], question="3 + 3 ?")
    assert found.conclusion(answered.text) == "4"


@pytest.mark.parametrize(
    ("reply", "conclusion"),
    [
        ("Six sevens.\nAnswer: 42", "42"),
        ("**Answer:** 42", "42"),
        ("ANSWER :42", "42"),
        ("I know no reanswer: so be it", "I know no reanswer: so be it"),
        ("42", "42"),
        ("Answer:", ""),
    ],
)
def test_the_conclusion(reply: str, conclusion: str) -> None:
    assert template("cot").conclusion(reply) == conclusion


def test_a_vote_over_conclusions() -> None:
    found = template("cot")
    generator = ScriptedGenerator(["So.\nAnswer: 42", "Well.\nAnswer: 42.", "Answer: 7"])
    asked = found.messages(question="What is six times seven?")
    voted = vote(
        generator,
        asked,
        sampling=Sampling(temperature=0.7),
        k=3,
        key=lambda text: folded(found.conclusion(text)),
    )
    assert (found.conclusion(voted.text), voted.count) == ("42", 2)


def test_other_languages_get_english() -> None:
    assert template("cot", "de").language == "en"


def test_the_newest_version_is_meant_without_one() -> None:
    text = _GOOD + _GOOD.replace("a@1", "a@10") + _GOOD.replace("a@1", "a@9")
    assert sorted(parse_templates(text, language="en")) == ["a@1", "a@10", "a@9"]
    assert template("cot").name == "cot@1"


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match="no template is called 'cot@9', there are cot-passages@1"):
        template("cot@9")


def test_variables_are_checked_when_used() -> None:
    with pytest.raises(InputError, match=r"takes \['question'\], got \[\]"):
        template("cot").messages()
    with pytest.raises(InputError, match=r"got \['passages', 'question'\]"):
        template("cot").messages(question="?", passages="x")
    with pytest.raises(InputError, match="question of template 'cot@1' is 3"):
        template("cot").messages(question=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"example 2 of .*takes \['input', 'output'\]"):
        template("few-shot").messages(
            [{"input": "a", "output": "b"}, {"input": "a"}], task="t", input="i"
        )
    with pytest.raises(InputError, match="'cot@1' shows no examples, got 1"):
        template("cot").messages([{"question": "?"}], question="?")


def test_no_system_message_where_there_are_no_words_for_it() -> None:
    (found,) = parse_templates(_GOOD.replace("Be brief.", ""), language="en").values()
    assert isinstance(found, Template)
    assert [message.role for message in found.messages(x="?")] == ["user"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not TOML"),
        ("a = 1", "'a' is no template"),
        (_GOOD.replace("a@1", "a"), "'a' is no template"),
        (_GOOD.replace("a@1", "a@0"), "'a@0' is no template"),
        (_GOOD.replace("{x}", "{y}"), r"has the variables \['y'\], declares \['x'\]"),
        (_GOOD.replace("{x}", "x"), r"has the variables \[\], declares \['x'\]"),
        (_GOOD + "mood = 1", r"has the unknown \['mood'\]"),
        (_GOOD + 'shown = "x"', r"lacks \['answered', 'example'\]"),
        (_GOOD + "mark = 1", "mark of template 'a@1' is 1, expected a text"),
        (_GOOD.replace('["x"]', '"x"'), "variables of template 'a@1' is 'x', expected a list"),
        (
            _GOOD + 'example = ["y"]\nshown = "{y}"\nanswered = "{z}"',
            r"the example of 'a@1' has the variables \['y', 'z'\]",
        ),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_read(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_templates(text, language="en")
