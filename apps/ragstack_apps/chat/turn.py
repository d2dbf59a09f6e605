"""A question and its answer on the page, with its sources, its doubts and the reader's verdict."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import amount, fail, seconds
from ragstack_apps.chat.safe import plain, shown
from ragstack_apps.chat.session import Session
from ragstack_apps.chat.source import place_of, title_of
from ragstack_apps.chat.widgets import answer_html

__all__ = ["OPENED", "draw_answer", "draw_question"]

OPENED = "opened"
"""Where the tab remembers which citation was clicked: (citation, collection)."""


def draw_question(text: str) -> None:
    """Show what was asked, letter by letter."""
    with st.chat_message("user", avatar=":material/person:"):
        st.text(text)


def draw_answer(session: Session, run: str, answer: Json, *, collection: str | None) -> None:
    """Show a checked answer: its numbers are buttons, and so are the sources under it."""
    words = session.words
    citations: dict[int, Json] = {int(c["marker"]): c for c in answer.get("citations") or ()}

    def opened(marker: int) -> None:
        if marker in citations:
            st.session_state[OPENED] = (citations[marker], collection)

    def button(marker: int) -> str:
        if marker not in citations:
            return f"[{marker}]"
        label = words("source.open", n=marker)
        return (
            f'<button class="cite" type="button" data-marker="{marker}" '
            f'aria-label="{label}">{marker}</button>'
        )

    with st.chat_message("assistant", avatar=":material/menu_book:"):
        html = shown(str(answer.get("answer") or ""), marker=button)
        answer_html(html, key=f"answer-{run}", on_cite=opened)
        _doubts(session, answer)
        with st.container(horizontal=True, key=f"sources-{run}"):
            for marker, cited in sorted(citations.items()):
                named = f"{title_of(cited)}, {place_of(session, cited)}".rstrip(", ")
                st.button(
                    f"{marker} · {plain(named, most=50)}",
                    key=f"cite-{run}-{marker}",
                    help=plain(str(cited.get("quote") or ""), most=300),
                    on_click=opened,
                    args=(marker,),
                )
        with st.container(horizontal=True, vertical_alignment="center"):
            _verdict(session, run)
            st.caption(_told(session, answer))


def _doubts(session: Session, answer: Json) -> None:
    """Say what the documents do not support, and what else a reader should know."""
    text = str(answer.get("answer") or "")
    unsupported = [
        text[one["start"] : one["end"]]
        for one in answer.get("sentences") or ()
        if one.get("verdict") == "unsupported"
    ]
    if answer.get("abstained"):
        st.info(session.words("answer.abstained"), icon=":material/search_off:")
    elif unsupported:
        quoted = "\n".join(f"- {plain(sentence)}" for sentence in unsupported)
        st.warning(f"{session.words('answer.unsupported')}\n\n{quoted}", icon=":material/warning:")
    for note in answer.get("notes") or ():
        st.caption(plain(str(note)))


def _told(session: Session, answer: Json) -> str:
    took = sum((answer.get("seconds") or {}).values())
    usage: dict[str, Any] = answer.get("usage") or {}
    return plain(
        session.words(
            "answer.took",
            seconds=seconds(took),
            prompt=amount(usage.get("prompt_tokens")),
            answer=amount(usage.get("answer_tokens")),
        )
    )


def _verdict(session: Session, run: str) -> None:
    words, sent = session.words, f"feedback-{run}"
    if st.session_state.get(sent):
        st.caption(words("feedback.thanks"))
        return
    with st.popover(words("feedback.give"), icon=":material/thumbs_up_down:"):
        with st.form(f"form-{run}", border=False):
            picked = st.radio(
                words("feedback.was"),
                (1, -1),
                format_func=lambda value: words("feedback.good" if value > 0 else "feedback.bad"),
                horizontal=True,
                key=f"value-{run}",
            )
            reason = st.text_area(words("feedback.why"), key=f"why-{run}", max_chars=2_000)
            done = st.form_submit_button(words("send"))
        if done:
            body = {"run": run, "value": picked, "reason": reason.strip()}
            try:
                session.api.post("feedback", body=body)
            except RagstackError as error:
                fail(error)
                return
            st.session_state[sent] = True
            st.rerun()
