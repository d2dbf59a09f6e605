"""The page *Inspect*: one run from the question to the answer, or two of them side by side."""

from __future__ import annotations

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat import anatomy
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import day, fail
from ragstack_apps.chat.safe import plain
from ragstack_apps.chat.session import Page, Session

__all__ = ["PAGE", "page"]

PAGE = Page({"en": "Inspect", "fr": "Examen"}, ":material/troubleshoot:", 20)

_MOST = 100


def page(session: Session) -> None:
    """Draw the choice of runs, and what the chosen ones did."""
    words = session.words
    st.title(PAGE.named(words.language))
    try:
        runs: list[Json] = session.api.get("runs", limit=_MOST).get("runs") or []
    except RagstackError as error:
        fail(error)
        return
    if not runs:
        st.info(words("inspect.none"))
        return
    names = [str(run["id"]) for run in runs]
    titles = {str(run["id"]): f"{day(run.get('at'))} · {run.get('question')}" for run in runs}
    one, other = _picked(session, names, titles)
    found = [run for run in (session.run(one), session.run(other) if other else None) if run]
    if len(found) == 2:
        _compared(session, found[0], found[1])
        return
    for run in found:
        _whole(session, run)


def _picked(session: Session, names: list[str], titles: dict[str, str]) -> tuple[str, str]:
    words = session.words
    wanted = st.query_params.get("run") or session.state.get("run")
    left, right = st.columns(2)
    one = left.selectbox(
        words("inspect.run"),
        names,
        index=names.index(wanted) if wanted in names else 0,
        format_func=titles.__getitem__,
        key="inspect-one",
    )
    other = right.selectbox(
        words("inspect.with"),
        ["", *names],
        format_func=lambda name: titles.get(name, words("inspect.alone")),
        key="inspect-other",
    )
    st.query_params["run"] = one
    return one, other


def _whole(session: Session, run: Json) -> None:
    words = session.words
    anatomy.head(session, run)
    parts = (
        ("inspect.times", anatomy.times),
        ("inspect.candidates", anatomy.candidates),
        ("inspect.prompt", anatomy.prompt),
        ("inspect.attribution", anatomy.attribution),
        ("inspect.settings", anatomy.settings),
    )
    for tab, (_, draw) in zip(st.tabs([words(name) for name, _ in parts]), parts, strict=True):
        with tab:
            draw(session, run)


def _compared(session: Session, one: Json, other: Json) -> None:
    words = session.words
    for column, run in zip(st.columns(2), (one, other), strict=True):
        with column:
            anatomy.head(session, run)
            anatomy.times(session, run)
    st.subheader(words("inspect.candidates"))
    rows = anatomy.both(session, one, other)
    if rows:
        st.dataframe(rows, hide_index=True, width="stretch")
    st.subheader(words("inspect.settings"))
    mine, theirs = one.get("settings") or {}, other.get("settings") or {}
    changed = {key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)}
    if not changed:
        st.caption(words("inspect.same"))
    for key in sorted(changed):
        st.text(f"{key}: {mine.get(key)!r} → {theirs.get(key)!r}")
    if one.get("question") != other.get("question"):
        st.caption(plain(words("inspect.other")))
