"""The page *Chat*: a question in, the answer as it is written out, with its sources.

The server answers, whether or not this page is looking: drawing the page again only looks again.
The run at work stands in the address, so that a reload finds it.
"""

from __future__ import annotations

import uuid
from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.chats import draw_chats
from ragstack_apps.chat.manner import draw_manner
from ragstack_apps.chat.notes import fail
from ragstack_apps.chat.safe import plain, shown
from ragstack_apps.chat.session import Page, Session
from ragstack_apps.chat.source import open_source, title_of
from ragstack_apps.chat.turn import OPENED, draw_answer, draw_question

__all__ = ["PAGE", "page"]

PAGE = Page({"en": "Chat", "fr": "Discussion"}, ":material/chat:", 0, "ask")

_EVERY_S = 0.2  # how often a page that is looking looks


def page(session: Session) -> None:
    """Draw the conversation that the address names, or an empty one."""
    words, state = session.words, session.state
    _from_address(state)
    draw_chats(session)
    manner = draw_manner(session)
    run = state.get("run")
    turns = _turns(session, state["chat"], run)
    replaced = bool(turns) and turns[-1].get("run") == state.get("replaced", "")
    # Asked once a drawing: the answer may end while the page is drawn, and all parts must agree.
    ended = bool(run) and session.following(str(run)).ended
    if replaced and run and not (ended and session.following(run).failed):
        turns.pop()  # what is answered again stands below
    if not turns and not run:
        st.title(words("chat.welcome"))
        st.caption(words("chat.promise"))
    for at, turn in enumerate(turns):
        draw_question(str(turn["question"]))
        _answered(session, turn, f"{state['chat']}-{at}")
    working = bool(run) and _current(session, str(run), ended=ended, replaced=replaced)
    asked = st.chat_input(words("chat.ask"), disabled=working, max_chars=20_000, key="question")
    if asked and asked.strip():
        _ask(session, asked, manner)
    opened = state.pop(OPENED, None)
    if opened:
        cited, collection = opened
        open_source(session, cited, collection=collection)


def _from_address(state: Any) -> None:
    """Take up the conversation and the run of the address; keep the address by what is open."""
    for name in ("chat", "run"):
        if name not in state:
            state[name] = st.query_params.get(name)
    if not state["chat"]:
        state["chat"] = uuid.uuid4().hex
    for name in ("chat", "run"):
        if state[name]:
            st.query_params[name] = state[name]
        elif name in st.query_params:
            del st.query_params[name]


def _turns(session: Session, chat: str, run: str | None) -> list[Json]:
    """Return what was said before the run at work; a conversation without a word has no turns."""
    try:
        found = session.api.get("chats", chat)
    except RagstackError:
        return []
    return [turn for turn in found.get("turns") or () if not run or turn.get("run") != run]


def _answered(session: Session, turn: Json, key: str) -> None:
    run = turn.get("run")
    told = session.run(run) if run else None
    answer = (told or {}).get("answer") or {"answer": turn.get("answer")}
    draw_answer(session, run or key, answer, collection=(told or {}).get("collection"))


def _current(session: Session, run: str, *, ended: bool, replaced: bool) -> bool:
    """Draw the newest question and what there is of its answer; return whether more will come.

    Args:
        ended: Nothing more will.
        replaced: It answers the last turn again.
    """
    words = session.words
    follower = session.following(run)
    told = session.run(run) or {}
    question = str(told.get("question") or session.state.get("asked") or follower.searched)
    if question:
        draw_question(question)
    if not ended:
        st.fragment(run_every=_EVERY_S)(_growing)(session, run)
        st.button(
            words("chat.stop"),
            icon=":material/stop_circle:",
            key="stop",
            on_click=_stop,
            args=(session, run),
        )
        return True
    collection = told.get("collection")
    if follower.answer is not None:
        draw_answer(session, run, follower.answer, collection=collection)
    else:
        with st.chat_message("assistant", avatar=":material/menu_book:"):
            if follower.text:
                st.html(shown(follower.text))
            st.warning(
                plain(follower.error or words("chat.stopped")), icon=":material/stop_circle:"
            )
    if question:
        st.button(
            words("chat.again"),
            icon=":material/refresh:",
            key="again",
            on_click=_again,
            # One that failed is no turn, and another one's answer stays as it is.
            args=(session, question, run if follower.answer is not None else "", replaced),
        )
    return False


def _growing(session: Session, run: str) -> None:
    """Draw what there is of an answer; drawn again by itself until it is whole."""
    words, follower = session.words, session.following(run)
    if follower.ended:
        st.rerun(scope="app")
    with st.chat_message("assistant", avatar=":material/menu_book:"):
        if follower.reasoning:
            with st.expander(words("chat.reasoning")):
                st.text(follower.reasoning)
        if follower.text:
            st.html(f'<div aria-live="polite">{shown(follower.text)}</div>')
        elif follower.passages:
            names = dict.fromkeys(title_of(passage) for passage in follower.passages)
            found = ", ".join(plain(name, most=40) for name in list(names)[:6])
            st.caption(f":material/menu_book: {words('chat.reading')} {found}")
        else:
            st.caption(f":material/search: {words('chat.searching')}")


def _ask(session: Session, question: str, manner: Json) -> None:
    state = session.state
    body = {**manner, "question": question, "chat": state["chat"]}
    try:
        state["run"] = session.api.begin(body)
    except RagstackError as error:
        fail(error)
        return
    state["asked"] = question
    st.rerun()


def _again(session: Session, question: str, answered: str, replaced: bool) -> None:
    """Ask the same once more, as the settings are now; the new answer takes the old one's place.

    Args:
        answered: The run that is the last turn now.
        replaced: An earlier one is, which a run that failed was to replace.
    """
    state = session.state
    body = {**state.get("manner", {}), "question": question, "chat": state["chat"]}
    if answered or replaced:
        body["again"] = True
    run = session.tried(lambda: session.api.begin(body), fail)
    if run:
        state["replaced"] = answered or (state["replaced"] if replaced else "")
        state["run"] = run
        state["asked"] = question


def _stop(session: Session, run: str) -> None:
    session.tried(lambda: session.api.post("runs", run, "cancel"), fail)
