"""The conversations kept, in the side bar: found again by a word, renamed, deleted."""

from __future__ import annotations

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import fail
from ragstack_apps.chat.safe import plain
from ragstack_apps.chat.session import Session

__all__ = ["draw_chats"]

_MOST = 30


def draw_chats(session: Session) -> None:
    """Draw the list; a click on one opens it."""
    words, state = session.words, session.state
    with st.sidebar:
        st.button(
            words("chats.new"),
            icon=":material/add_comment:",
            type="primary",
            width="stretch",
            on_click=_open,
            args=(session, ""),
        )
        wanted = st.text_input(
            words("chats.search"), icon=":material/search:", key="chats-search"
        ).strip()
        try:
            found: list[Json] = session.api.get("chats", q=wanted or None).get("chats") or []
        except RagstackError as error:
            fail(error)
            return
        if wanted and not found:
            st.caption(words("chats.none"))
        for chat in found[:_MOST]:
            name = str(chat["id"])
            st.button(
                plain(str(chat.get("title") or name), most=60),
                key=f"chat-{name}",
                type="secondary" if name == state["chat"] else "tertiary",
                width="stretch",
                on_click=_open,
                args=(session, name),
            )
        if any(chat["id"] == state["chat"] for chat in found):
            _change(session, next(chat for chat in found if chat["id"] == state["chat"]))


def _change(session: Session, chat: Json) -> None:
    words, name = session.words, str(chat["id"])
    with st.popover(words("chats.change"), icon=":material/edit:", width="stretch"):
        title = st.text_input(
            words("chats.title"), value=str(chat.get("title") or ""), key=f"title-{name}"
        )
        if st.button(words("save"), key="chat-save") and title.strip():
            body = {"title": title.strip()}
            session.tried(lambda: session.api.patch("chats", name, body=body), fail)
            st.rerun()
        if st.button(words("chats.delete"), icon=":material/delete:", key="chat-delete"):
            try:
                session.api.delete("chats", name)
            except RagstackError as error:
                fail(error)
                return
            _open(session, "")
            st.rerun()


def _open(session: Session, name: str) -> None:
    """Turn to another conversation; an empty name is a new one."""
    for key in ("chat", "run"):
        session.state.pop(key, None)
        st.query_params.pop(key, None)
    if name:
        session.state["chat"] = name
        session.state["run"] = None
