"""The cascade over scripted generators: who answers, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from ragstack import registry
from ragstack.errors import (
    Cancelled,
    ConfigError,
    ContextOverflow,
    InputError,
    RemoteError,
    UnsupportedCapability,
)
from ragstack.generate.cascade import CascadeGenerator
from ragstack.generate.doubt import Calibration, evidence, fit
from ragstack.generate.prices import Prices
from ragstack.generate.privacy import private
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.generate.steps import Choice, Step
from ragstack.types import Delta, Message, Money, Sampling, ToolCall, Usage

_MESSAGES = (Message("system", "Be brief."), Message("user", "Who pays?"))
_SHORT = Sampling(max_tokens=20)


def _sure(yes: float) -> dict[str, float]:
    """Scores of a model that says yes with this probability."""
    return {"yes": math.log(yes), "no": math.log(1 - yes)}


class _Far(ScriptedGenerator):
    """A scripted generator that is elsewhere and costs money."""

    stays_here = False

    def cost(self, usage: Usage) -> Money | None:
        row = {"model": "*", "input": 1000, "output": 2000, "currency": "EUR"}
        return Prices.read([row]).cost(self.name, usage)


def _cascade(*steps: Step, **more: Any) -> tuple[CascadeGenerator, list[Choice]]:
    seen: list[Choice] = []
    return CascadeGenerator(steps=steps, watch=seen.append, **more), seen


def _small(yes: float, text: str = "The Trust.", doubt: float = 0.3) -> Step:
    generator = ScriptedGenerator(lambda _: text, scores=_sure(yes), name="small")
    return Step(generator, doubt, stays_here=True)


def _large(reply: Any = "The Harbour Trust pays.") -> Step:
    return Step(_Far(lambda _: reply, name="large"))


def _ask(cascade: CascadeGenerator, messages: Sequence[Message] = _MESSAGES) -> str:
    return "".join(d.text for d in cascade.stream(messages, sampling=_SHORT))


@pytest.mark.parametrize(
    ("yes", "name", "doubt"), [(0.9, "small", 0.1), (0.7, "small", 0.3), (0.6, "large", None)]
)
def test_a_doubted_answer_goes_on(yes: float, name: str, doubt: float | None) -> None:
    cascade, seen = _cascade(_small(yes, doubt=0.3000001), _large())
    assert _ask(cascade) == ("The Trust." if name == "small" else "The Harbour Trust pays.")
    assert seen[0].name == name
    assert seen[0].doubt == (None if doubt is None else pytest.approx(doubt))
    if name == "large":
        assert [(one.name, one.outcome, one.reason) for one in seen[0].tried] == [
            ("small", "doubted", "0.400")
        ]


def test_what_all_steps_took_is_told() -> None:
    cascade, seen = _cascade(_small(0.1), _large())
    *_, last = cascade.stream(_MESSAGES, sampling=_SHORT)
    assert last.usage == Usage(10, 0, 5)
    assert seen[0].usage == Usage(20, 0, 8)
    assert seen[0].cost == Money(Decimal("0.020"), "EUR")


def test_the_scorer_is_asked_about_the_answer() -> None:
    asked: list[tuple[str, str]] = []

    def score(messages: Sequence[Message], text: str) -> float:
        asked.append((messages[-2].text, text))
        return math.log(0.9 if text == "yes" else 0.1)

    small = ScriptedGenerator(["It is."], scores=score, name="small")
    cascade, _ = _cascade(Step(small, 0.2, stays_here=True), _large())
    assert _ask(cascade) == "It is."
    assert asked == [("It is.", "yes"), ("It is.", "no")]


def test_mean_log_probability_with_a_calibration() -> None:
    small = ScriptedGenerator(lambda _: "a b c d", scores={"a b c d": -8.0}, name="small")
    assert evidence(small, _MESSAGES, "a b c d", "logprob") == pytest.approx(-2.0)
    step = Step(small, 0.5, "logprob", Calibration(1.0, 3.0), stays_here=True)
    assert _cascade(step, _large())[0].capabilities.tools
    assert _ask(_cascade(step, _large())[0]) == "a b c d"  # 1 - sigmoid(1) = 0.27
    step = Step(small, 0.5, "logprob", Calibration(1.0, 1.0), stays_here=True)
    assert _ask(_cascade(step, _large())[0]) == "The Harbour Trust pays."


def test_an_empty_answer_is_doubted_and_a_tool_call_is_not() -> None:
    assert _ask(_cascade(_small(0.99, text=" "), _large())[0]) == "The Harbour Trust pays."
    call = Delta(tool_call=ToolCall("1", "search", {}))
    small = ScriptedGenerator([[call]], scores=_sure(0.01), name="small")
    cascade, seen = _cascade(Step(small, 0.1, stays_here=True), _large())
    deltas = list(cascade.stream(_MESSAGES, sampling=_SHORT))
    assert [d.tool_call.name for d in deltas if d.tool_call] == ["search"]
    assert seen[0].name == "small"


def test_an_answer_that_cannot_be_judged_is_kept() -> None:
    small = ScriptedGenerator(lambda _: "The Trust.", scores={"maybe": -1.0}, name="small")
    step = Step(small, 0.3, stays_here=True)
    assert _ask(_cascade(step, _large())[0]) == "The Harbour Trust pays."
    assert _ask(_cascade(step, _large(RemoteError("down")))[0]) == "The Trust."


def test_where_the_last_step_fails_the_least_doubted_answer_is_given() -> None:
    middle = ScriptedGenerator(lambda _: "Mid.", scores=_sure(0.6), name="middle")
    steps = (_small(0.5), Step(middle, 0.1, stays_here=True), _large(RemoteError("down")))
    cascade, seen = _cascade(*steps)
    assert _ask(cascade) == "Mid."
    assert [(one.name, one.outcome) for one in seen[0].tried] == [
        ("small", "doubted"),
        ("large", "failed"),
    ]


def test_a_step_that_cannot_is_passed_over() -> None:
    tiny = ScriptedGenerator(lambda _: "never", scores=_sure(0.9), context_size=12, name="tiny")
    cascade, seen = _cascade(Step(tiny, 0.5, stays_here=True), _large())
    assert _ask(cascade) == "The Harbour Trust pays."
    assert seen[0].tried[0].outcome == "failed"
    assert not tiny.asked
    with pytest.raises(ContextOverflow):
        list(cascade.stream(_MESSAGES, sampling=Sampling(max_tokens=8192)))


def test_a_stream_that_broke_half_way_is_an_error() -> None:
    class Broken(_Far):
        def stream(self, messages: Any, **_: Any) -> Any:
            yield Delta(text="half")
            raise RemoteError("broke off")

    cascade, _ = _cascade(_small(0.1), Step(Broken(name="large")))
    shown: list[str] = []
    with pytest.raises(RemoteError, match="broke off"):
        for delta in cascade.stream(_MESSAGES, sampling=_SHORT):
            shown.append(delta.text)
    assert shown == ["half"]


def test_what_was_cancelled_is_not_asked_elsewhere() -> None:
    small = ScriptedGenerator([Cancelled("stopped")], scores=_sure(0.9), name="small")
    large = _Far(["never"], name="large")
    cascade, _ = _cascade(Step(small, 0.5, stays_here=True), Step(large))
    with pytest.raises(Cancelled):
        _ask(cascade)
    assert not large.asked


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ({"local_only": True}, _MESSAGES),
        ({}, (_MESSAGES[0], private(_MESSAGES[1]))),
        ({}, (private(_MESSAGES[0]), _MESSAGES[1], Message("user", "And then?"))),
        ({"private": [r"(?i)who\s+pays"]}, _MESSAGES),
        (
            {"private": ["FR76"]},
            (
                *_MESSAGES,
                Message("assistant", "", (ToolCall("1", "pay", {"to": "FR76 3000"}),)),
                Message("tool", "done", tool_call_id="1"),
            ),
        ),
    ],
)
def test_private_messages_never_leave(
    options: Mapping[str, Any], messages: Sequence[Message]
) -> None:
    large = _Far(lambda _: "never", name="large")
    cascade, seen = _cascade(_small(0.01), Step(large), **options)
    assert _ask(cascade, messages) == "The Trust."
    assert not large.asked
    assert seen[0].doubt is None  # it is the last that may answer, so nobody asked


def test_private_messages_with_no_local_step_are_refused() -> None:
    cascade, _ = _cascade(_large())
    with pytest.raises(UnsupportedCapability, match="message 2 is marked private"):
        _ask(cascade, (_MESSAGES[0], private(_MESSAGES[1])))
    with pytest.raises(ConfigError, match="stays on this machine"):
        _cascade(_large(), local_only=True)


def test_a_mark_changes_nothing_else_and_is_made_once() -> None:
    marked = private(private(_MESSAGES[1]))
    assert marked.text == "Who pays?"
    assert marked == private(_MESSAGES[1])
    assert marked == Message("user", "Who pays?", private=True)


@pytest.mark.parametrize(
    ("amount", "currency", "answer"),
    # The worst case: 10 tokens in and 20 out, 0.010 + 0.040.
    [
        ("0.050", "EUR", "The Harbour Trust pays."),
        ("0.0499", "EUR", "The Trust."),
        ("9", "USD", "The Trust."),
    ],
)
def test_the_ceiling_is_never_passed(amount: str, currency: str, answer: str) -> None:
    ceiling = {"amount": amount, "currency": currency}
    cascade, _ = _cascade(_small(0.1), _large(), ceiling=ceiling)
    assert _ask(cascade) == answer


def test_a_ceiling_needs_a_price() -> None:
    unknown = Step(ScriptedGenerator(lambda _: "never", name="unknown"))
    cascade, _ = _cascade(unknown, ceiling={"amount": 1})
    with pytest.raises(UnsupportedCapability, match="price is not known"):
        _ask(cascade)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CascadeGenerator(steps=[]),
        lambda: CascadeGenerator(steps=[{"model": "m"}]),
        lambda: CascadeGenerator(steps=[{"use": "scripted", "oops": 1}]),
        lambda: CascadeGenerator(steps=[{"use": "nobody"}]),
        lambda: CascadeGenerator(steps=[{"use": "scripted", "calibration": 3}]),
        lambda: CascadeGenerator(steps=[{"use": "scripted", "calibration": {"slope": "x"}}]),
        lambda: CascadeGenerator(steps=[{"use": "scripted"}], private=["("]),
        lambda: CascadeGenerator(steps=[{"use": "scripted"}], private="word"),
        lambda: CascadeGenerator(steps=[{"use": "scripted"}], ceiling={"amount": -1}),
        lambda: CascadeGenerator(steps=[{"use": "scripted"}], ceiling={}),
        lambda: Step(ScriptedGenerator(), 0.5),  # it has no scores
        lambda: Step(ScriptedGenerator(scores={}), 1.5),
        lambda: Step(ScriptedGenerator(scores={}), 0.5, "mood"),  # type: ignore[arg-type]
        lambda: Step(_Far(), stays_here=True),
        lambda: Calibration(-1.0),
        lambda: Calibration(float("nan")),
    ],
)
def test_what_cannot_be_used_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_a_cascade_from_tables() -> None:
    steps = [
        {"use": "scripted", "scores": _sure(0.2), "replies": ["No idea."], "doubt": 0.5},
        {"use": "remote", "url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0},
    ]
    cascade = registry.create("generators", "cascade", {"steps": steps})
    assert cascade.name == "scripted > m"
    assert cascade.stays_here
    assert _ask(cascade) == "No idea."  # nobody listens at port 9
    with pytest.raises(InputError):
        list(cascade.stream([], sampling=_SHORT))
    cascade.close()
    cascade.close()


def test_a_server_elsewhere_is_elsewhere() -> None:
    far = RemoteGenerator(url=["http://127.0.0.1:9/v1", "http://127.evil.example/v1"], model="m")
    assert not far.stays_here
    with pytest.raises(ConfigError, match="elsewhere"):
        Step(far, stays_here=True)
    far.close()


def test_a_calibration_is_fitted() -> None:
    seen = [-3.0, -2.0, -2.5, -0.2, -0.1, -1.0, -0.4, -1.5]
    right = [False, False, False, True, True, False, True, True]
    found = fit(seen, right)
    assert found.slope > 0
    doubts = [found.doubt(x) for x in seen]
    assert found.doubt(-3.0) > 0.6 > 0.4 > found.doubt(-0.1)
    # At the best fit the doubts add up to the targets' own: (no. wrong) smoothed.
    assert sum(1 - d for d in doubts) == pytest.approx(4 * 5 / 6 + 4 * 1 / 6, abs=1e-6)
    assert fit([1.0, 2.0], [True, False]).slope == 0.0  # it speaks the wrong way
    assert fit([1.0] * 4, [True, False] * 2).doubt(1.0) == pytest.approx(0.5)
    for bad in (([1.0], [True]), ([1.0, 2.0], [True]), ([float("inf"), 1.0], [True, False])):
        with pytest.raises(InputError):
            fit(*bad)
    assert Calibration().doubt(-math.inf) == pytest.approx(1.0)
    assert Calibration().doubt(math.inf) == pytest.approx(0.0)
