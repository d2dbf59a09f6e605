"""A run as the server kept it in, the parts of it on the page out: times, candidates, prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import amount, day, fail, percent, seconds
from ragstack_apps.chat.safe import plain, shown
from ragstack_apps.chat.session import Session
from ragstack_apps.chat.source import title_of
from ragstack_apps.chat.style import STEPS

__all__ = ["attribution", "both", "candidates", "head", "prompt", "settings", "times"]

_ROW_PX = 32
_AXIS_PX = 60
_ROOM = 1.25  # of the longest bar: its seconds stand behind it


def head(session: Session, run: Json) -> None:
    """Draw the question, the answer, and when, by what and how long."""
    words, answer = session.words, run.get("answer") or {}
    st.subheader(plain(str(run.get("question") or ""), most=300))
    told = [day(run.get("at")), run.get("model"), run.get("collection"), run.get("style")]
    told.append(words(f"state.{run.get('state')}"))
    st.caption(plain(" · ".join(str(one) for one in told if one)))
    with st.container(border=True):
        st.html(shown(str(answer.get("answer") or words("inspect.no_answer"))))
    usage: dict[str, Any] = answer.get("usage") or {}
    figures = {
        "inspect.took": seconds(sum((answer.get("seconds") or {}).values())),
        "inspect.read": amount(usage.get("prompt_tokens")),
        "inspect.reused": amount(usage.get("cached_tokens")),
        "inspect.written": amount(usage.get("answer_tokens")),
    }
    for column, (name, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(words(name), value)


def times(session: Session, run: Json) -> None:
    """Draw each step as a bar from its beginning to its end: a waterfall."""
    words = session.words
    timings = [
        (_step(session, one["name"]), float(one["start_s"]), float(one["end_s"]))
        for one in run.get("timings") or ()
    ]
    rows = [
        {
            "step": name,
            "start": round(start, 4),
            "end": round(end, 4),
            "took": seconds(end - start),
        }
        for name, start, end in timings
    ]
    if not rows:
        st.caption(words("inspect.no_times"))
        return
    last = {row["step"]: row for row in rows}  # of several in one line: no text upon a bar
    shown_at = max(end for _, _, end in timings) * _ROOM
    row = {"field": "step", "type": "nominal", "sort": None, "title": None}
    spec = {
        "encoding": {"y": {**row, "axis": {"labelLimit": 200}}},
        "layer": [
            {
                "mark": {"type": "bar", "minWidth": 2, "cornerRadius": 2},
                "encoding": {
                    "x": {
                        "field": "start",
                        "type": "quantitative",
                        "title": words("inspect.axis"),
                        "scale": {"domainMax": shown_at},
                    },
                    "x2": {"field": "end"},
                    "color": {
                        "field": "step",
                        "type": "nominal",
                        "legend": None,
                        "scale": {"range": list(STEPS)},
                    },
                    "tooltip": [{"field": "step"}, {"field": "took"}],
                },
            },
            {
                "data": {"values": list(last.values())},
                "mark": {"type": "text", "align": "left", "dx": 5},
                "encoding": {
                    "x": {"field": "end", "type": "quantitative"},
                    "text": {"field": "took"},
                },
            },
        ],
    }
    height = _ROW_PX * len(rows) + _AXIS_PX
    st.vega_lite_chart(rows, spec, width="stretch", height=height, key=f"times-{run['id']}")
    # The same in words: a chart alone says nothing to who cannot see it.
    with st.expander(words("inspect.table")):
        st.dataframe(rows, hide_index=True, width="stretch")
    for step in (run.get("answer") or {}).get("trace") or run.get("trace") or ():
        with st.expander(plain(_step(session, step.get("step") or step.get("name")))):
            st.text("\n".join(str(line) for line in step.get("produced") or ()))


def _step(session: Session, name: Any) -> str:
    """Return how a step is called in this language; a third party's keeps its own name."""
    label = f"step.{name}"
    told = session.words(label)
    return str(name) if told == label else told


def candidates(session: Session, run: Json) -> None:
    """Draw every candidate with its scores, and why it was kept or dropped."""
    rows = [_row(session, at, one) for at, one in enumerate(run.get("candidates") or (), start=1)]
    if not rows:
        st.caption(session.words("inspect.no_candidates"))
        return
    kept = sum(1 for one in run["candidates"] if one.get("kept"))
    st.caption(session.words("inspect.kept", kept=kept, n=len(rows)))
    st.dataframe(rows, hide_index=True, width="stretch", key=f"candidates-{run['id']}")


def both(session: Session, one: Json, other: Json) -> list[Json]:
    """Return the candidates of two runs, each with its rank in both."""
    words = session.words
    ranks = [
        {str(c["chunk_id"]): at for at, c in enumerate(run.get("candidates") or (), start=1)}
        for run in (one, other)
    ]
    named = {str(c["chunk_id"]): c for run in (other, one) for c in run.get("candidates") or ()}
    order = sorted(named, key=lambda name: min(rank.get(name, 10**6) for rank in ranks))
    return [
        {
            words("inspect.first"): ranks[0].get(name),
            words("inspect.second"): ranks[1].get(name),
            words("inspect.document"): title_of(named[name]),
            words("inspect.text"): _excerpt(named[name]),
        }
        for name in order
    ]


def prompt(session: Session, run: Json) -> None:
    """Draw the messages as they were sent, letter by letter, with the tokens of them all."""
    words, told = session.words, run.get("prompt") or {}
    messages: Sequence[Json] = told.get("messages") or ()
    if not messages:
        st.caption(words("inspect.no_prompt"))
        return
    st.caption(words("inspect.tokens", n=amount(told.get("tokens"))))
    for message in messages:
        tokens = f" · {amount(message['tokens'])}" if message.get("tokens") is not None else ""
        st.text(f"{message.get('role')}{tokens}")
        st.code(_text(message.get("content")), language=None, wrap_lines=True)


def attribution(session: Session, run: Json) -> None:
    """Draw which passages stand behind the answer, and which of its sentences none does."""
    words, answer = session.words, run.get("answer") or {}
    parts: Sequence[Json] = (run.get("attribution") or answer.get("attribution") or {}).get(
        "parts"
    ) or ()
    for part in parts:
        share = float(part.get("share") or 0)
        label = f"{percent(share)} · {title_of(part)}"
        st.progress(min(1.0, max(0.0, share)), text=plain(label, most=120))
    text = str(answer.get("answer") or "")
    rows = [
        {
            words("inspect.sentence"): text[one["start"] : one["end"]],
            words("inspect.verdict"): words(f"verdict.{one['verdict']}"),
        }
        for one in answer.get("sentences") or ()
    ]
    if rows:
        st.dataframe(rows, hide_index=True, width="stretch", key=f"sentences-{run['id']}")
    cited = answer.get("citations") or ()
    for one in cited:
        st.text(f"[{one['marker']}] {title_of(one)}: «{' '.join(str(one['quote']).split())}»")
    if not (parts or rows or cited):
        st.caption(words("inspect.no_attribution"))
    if text and not parts and run.get("state") == "done" and session.may("ask"):
        key = f"attribute-{run['id']}"
        if st.button(words("inspect.attribute"), key=key, help=words("inspect.attribute.help")):
            _attribute(session, str(run["id"]))


def _attribute(session: Session, run: str) -> None:
    with st.spinner(session.words("inspect.attributing")):
        found = session.tried(lambda: session.api.post("runs", run, "attribution"), fail)
    if found is not None:
        session.forget(run)
        st.rerun()


def settings(session: Session, run: Json) -> None:
    """Draw what the run was asked with."""
    st.json(run.get("settings") or {}, expanded=2)


def _row(session: Session, at: int, one: Json) -> Json:
    words = session.words
    trail: dict[str, float] = one.get("trail") or {}
    scores = {name: round(float(value), 4) for name, value in trail.items()}
    if not scores and one.get("score") is not None:
        scores = {"score": round(float(one["score"]), 4)}
    verdict = words("inspect.in") if one.get("kept") else words("inspect.out")
    why = str(one.get("why") or one.get("reason") or "")
    return {
        "#": at,
        words("inspect.document"): title_of(one),
        words("inspect.text"): _excerpt(one),
        **scores,
        words("inspect.kept_or_not"): verdict,
        words("inspect.why"): why,
    }


def _excerpt(one: Json) -> str:
    return " ".join(str(one.get("text") or "").split())[:200]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or () if isinstance(part, dict))
