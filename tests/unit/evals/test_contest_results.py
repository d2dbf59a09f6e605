"""Measurements become medians, spreads, ratios; targets and tables say what was found."""

from __future__ import annotations

import pytest
from rich.console import Console

from ragstack.errors import InputError
from ragstack_evals.contest.parts import BARE, GUESSING, LANGCHAIN, OURS, SERVER, turns
from ragstack_evals.contest.plan import PARTS, Plan, planned
from ragstack_evals.contest.player import Heard, Used
from ragstack_evals.contest.results import Results, crowd, rates
from ragstack_evals.contest.show import show, show_targets
from ragstack_evals.contest.targets import targets


def _results() -> Results:
    results = Results("small")
    for rate in (90.0, 100.0, 110.0):
        results.add("long", "8", OURS, rate=rate, first_p50=0.5, token_p95=0.02)
    results.add("long", "8", BARE, rate=104.0)
    results.add("long", "8", LANGCHAIN, rate=50.0)
    results.add("long", "8", SERVER, rate=125.0)
    results.add("late", "", OURS, first_s=0.5)
    results.add("late", "", LANGCHAIN, first_s=4.0)
    results.add("prefix", "", OURS, cold_s=2.0, warm_s=0.1, share=0.05)
    for over in (1.0, 20.0):
        results.add("chat", "", GUESSING, took_s=9.0, first_s=0.2, over=over, characters=90.0)
    return results


def test_medians_spreads_and_ratios() -> None:
    results = _results()
    assert results.median("long", "8", OURS, "rate") == 100.0
    assert results.spread("long", "8", OURS, "rate") == pytest.approx(0.1)
    assert results.spread("long", "8", BARE, "rate") is None, "one number has no spread"
    assert results.ratio("long", "8", (OURS, LANGCHAIN), "rate") == 2.0
    assert results.ratio("long", "16", (OURS, LANGCHAIN), "rate") is None
    assert results.contestants("long") == [OURS, BARE, LANGCHAIN, SERVER]


def test_rates_leave_the_first_text_to_reading() -> None:
    heard = Heard(first_s=2.0, took_s=5.0)
    assert rates(heard, 200, 31) == (100.0, 10.0)
    assert rates(Heard(), 200, 1) == (0.0, 0.0), "nothing heard is no division by zero"


def test_a_crowd_counts_all_tokens_and_the_slowest() -> None:
    heard = [Heard(first_s=first, gaps=[0.1, 0.3]) for first in (1.0, 2.0, 3.0)]
    found = crowd(6.0, heard, 20)
    assert found["rate"] == 10.0
    assert found["first_p50"] == 2.0
    assert found["first_p95"] == pytest.approx(2.9)
    assert found["token_p50"] == pytest.approx(0.2)


def test_a_turn_reads_what_is_new_and_no_more() -> None:
    first = Heard(first_s=3.0, text="ab", used=Used(prompt=100, cached=0, written=10))
    exact = Heard(first_s=1.0, text="cd", used=Used(prompt=130, cached=110, written=10))
    again = Heard(first_s=1.0, text="ef", used=Used(prompt=160, cached=40, written=10))
    assert turns([first, exact]) == {"first_s": 1.0, "characters": 4.0, "over": 0.0}
    assert turns([first, exact, again])["over"] == 100.0
    assert "over" not in turns([first, Heard(used=Used())]), "who says no counts gets none"


def test_targets_are_met_not_met_or_not_measured() -> None:
    found = {
        each.name: each for each in targets(_results(), step_ms=0.1, draw_ms={"a": 0.1, "b": 0.5})
    }
    met = {name: each.met for name, each in found.items()}
    assert met["8 streams, long answers / bare loop"] is True
    assert met["8 streams, long answers / llama-server"] is False
    assert met["8 streams, long answers / ChatLlamaCpp"] is True
    assert met["8 streams, RAG prompts / ChatLlamaCpp"] is None
    assert found["behind seven long ones: times sooner than ChatLlamaCpp"].found == 8.0
    assert met["shared prefix: first token / cold"] is True
    assert met["ten turns: read beyond what is new"] is False, "the worst conversation counts"
    assert met["scheduler, a step"] is True
    assert met["sampling, a draw (slowest: b)"] is False


def test_the_report_names_every_part_and_target() -> None:
    results = _results()
    results.add("one", "", OURS, prefill=100.0, decode=20.0)
    results.add("one", "", BARE, prefill=50.0, decode=20.0)
    results.add("memory", "", OURS, peak=1.5e9)
    results.notes.append("the server [is] another release")
    console = Console(width=140, record=True, quiet=True)
    console.quiet = False
    with console.capture() as captured:
        show(results, console)
        show_targets(targets(results, step_ms=None, draw_ms={}), console, model="small")
    text = captured.get()
    assert "100.0 ±10%" in text
    assert "2.00 1.00" in text, "reading and writing have a ratio each"
    assert "1.50" in text
    assert "the server [is] another release" in text
    assert "NOT MET" in text and "not measured" in text
    assert "make soak" in text


def test_a_large_model_leaves_out_what_takes_minutes() -> None:
    assert planned(10**8).rag_streams == (1, 2, 4, 8, 16)
    large = planned(10**9)
    assert large.rag_streams == (1, 2, 4, 8)
    assert large.long_streams == (1, 2, 4, 8, 16)
    assert planned(10**9, streams=[16]).rag_streams == (16,)


def test_options_change_the_plan() -> None:
    plan = planned(0, only=["long", "one"], rounds=7, minutes=1.5)
    assert (plan.parts, plan.rounds, plan.minutes) == (("one", "long"), 7, 1.5)
    assert planned(0, quick=True).rag_prompt < Plan().rag_prompt
    assert planned(0, quick=True).parts == tuple(PARTS)
    for wrong in ({"only": ["speed"]}, {"streams": [0]}, {"rounds": -1}, {"minutes": -1.0}):
        with pytest.raises(InputError):
            planned(0, **wrong)  # type: ignore[arg-type]


def test_a_window_holds_the_longest_conversation() -> None:
    plan = Plan()
    talk = plan.talk_prompt + plan.turns * (plan.talk_answer + 60)
    steps = plan.talk_prompt + plan.steps * (plan.step_answer + plan.observation + 40)
    assert max(talk, steps, plan.rag_prompt + plan.rag_answer + 100) < plan.window
