from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from ragstack import Message
from ragstack.generate.prompts import load
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.judge import Case, judge, refuses

PASSAGES = ["Rollo swore fealty in 911."]
RULE = load("en").trust
QUESTION = "When did Rollo swear fealty?"  # two of its three content words stand there
COVERED = (RULE.cover_weight + RULE.near_weight) * 2 / 3 + RULE.apart_weight * RULE.apart_usual


def judged(replies: Sequence[str], scores: Mapping[str, float] | None, doubt: float = 0.0):
    generator = ScriptedGenerator(replies, scores=scores)
    scorer = generator if scores else None
    found = judge(generator, scorer, load("en"), Case(QUESTION, PASSAGES), doubt=doubt)
    return found, generator


def scores(*, yes: float, no: float, refusal: float) -> dict[str, float]:
    return {
        "yes": yes,
        "Yes": -99.0,
        "no": no,
        "No": -99.0,
        "not in the passages": refusal,
    }


def test_trust_is_the_checks_log_odds_less_a_share_of_the_refusals_logprob() -> None:
    found, _ = judged(["911"], scores(yes=-0.5, no=-2.5, refusal=-4.0))
    assert found.brief == "911"
    assert found.trust == pytest.approx(2.0 + RULE.refusal_weight * 4.0 + COVERED - RULE.needed)


def test_a_refusal_that_is_out_of_the_question_counts_no_more_than_ten_nats() -> None:
    found, _ = judged(["911"], scores(yes=-0.5, no=-2.5, refusal=-1000.0))
    assert found.trust == pytest.approx(2.0 + RULE.refusal_weight * 10.0 + COVERED - RULE.needed)


def test_each_further_passage_takes_some_trust_away() -> None:
    generator = ScriptedGenerator(["911"], scores=scores(yes=-0.5, no=-2.5, refusal=-4.0))
    passages = [*PASSAGES, "Nothing here.", "Nor here."]
    found = judge(generator, generator, load("en"), Case(QUESTION, passages), doubt=0.0)
    alone = 2.0 + RULE.refusal_weight * 4.0 + COVERED - RULE.needed
    assert found.trust == pytest.approx(alone - 2 * RULE.spread_weight)


@pytest.mark.parametrize(
    ("question", "eased"),
    [
        ("How did Rollo swear fealty?", True),
        ("  WHY did Rollo swear fealty?", True),
        ("How often did Rollo swear fealty?", False),
        ("Did Rollo swear fealty, and how?", False),
    ],
)
def test_what_asks_how_or_why_is_doubted_less(question: str, eased: bool) -> None:
    generator = ScriptedGenerator(["911", "911"], scores=scores(yes=-0.5, no=-2.5, refusal=-4.0))
    plain, asked = (
        judge(generator, generator, load("en"), Case(text, ["Nothing here."]), doubt=-99.0)
        for text in (QUESTION, question)
    )
    assert plain.trust is not None and asked.trust is not None
    assert asked.trust - plain.trust == pytest.approx(RULE.open_added if eased else 0.0)


def test_an_answer_far_from_what_is_asked_about_is_trusted_less() -> None:
    passages = ["Rollo swore fealty.", "In 1066 a comet was seen. It was bright. Many feared it."]
    near, far = (
        judge(
            ScriptedGenerator([answer]),
            ScriptedGenerator([], scores=scores(yes=-0.5, no=-2.5, refusal=-4.0)),
            load("en"),
            Case(QUESTION, passages),
            doubt=-9.0,
        )
        for answer in ("fealty", "1066")
    )
    assert near.trust is not None and far.trust is not None
    assert near.trust - far.trust == pytest.approx(RULE.near_weight * 2 / 3)


def test_too_little_trust_asks_for_no_answer() -> None:
    found, generator = judged([], scores(yes=-2.0, no=-0.5, refusal=-0.1))
    assert not found.sufficient(0.0)
    assert found.brief == ""
    assert generator.asked == []
    assert found.usage.prompt_tokens > 0


def test_a_refusal_that_is_not_trusted_is_asked_again_without_leave() -> None:
    found, generator = judged(
        ["not in the passages", "911"], scores(yes=-0.1, no=-3.0, refusal=-1.0)
    )
    assert found.brief == "911"
    assert found.sufficient(0.0)
    assert "answer: not in the passages" not in generator.asked[1].messages[-1].text


def test_one_that_refuses_twice_has_refused() -> None:
    found, _ = judged(["not in the passages"] * 2, scores(yes=-0.1, no=-3.0, refusal=-1.0))
    assert found.brief == ""
    assert not found.sufficient(-math.inf)


def test_a_generator_that_cannot_score_is_taken_at_its_word() -> None:
    assert judged(["911"], None)[0].sufficient(0.0)
    assert not judged(["Not in the passages."], None)[0].sufficient(0.0)


def test_the_prompts_share_everything_before_their_last_line() -> None:
    seen: list[str] = []

    def score(messages: Sequence[Message], _text: str) -> float:
        seen.append("\x00".join(f"{m.role}:{m.text}" for m in messages))
        return -1.0

    generator = ScriptedGenerator(["911"], scores=score)
    judge(generator, generator, load("en"), Case("When?", PASSAGES), doubt=-9.0)
    heads = {text.rpartition("\n")[0] for text in seen}
    assert len(set(seen)) == 2
    assert len(heads) == 1


@pytest.mark.parametrize("language", ["en", "fr"])
def test_refusals_are_known_in_each_language(language: str) -> None:
    prompts = load(language)
    assert refuses(prompts.texts["answer.refusal"].upper() + ".", prompts)
    assert refuses("", prompts)
    assert not refuses("911", prompts)


def test_a_passage_that_stands_out_is_trusted_more() -> None:
    found = [
        judge(
            generator := ScriptedGenerator(["911"], scores=scores(yes=0.0, no=-1.0, refusal=-4.0)),
            generator,
            load("en"),
            Case(QUESTION, PASSAGES, apart=apart),
            doubt=-9.0,
        ).trust
        for apart in (0.1, 0.6, None)
    ]
    assert found[1] - found[0] == pytest.approx(0.5 * RULE.apart_weight)
    assert found[2] - found[0] == pytest.approx((RULE.apart_usual - 0.1) * RULE.apart_weight)
