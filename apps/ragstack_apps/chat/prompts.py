"""The editor of prompts: one text, its earlier versions, and the way back to any of them."""

from __future__ import annotations

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import day, fail
from ragstack_apps.chat.session import Session

__all__ = ["draw_prompts"]


def draw_prompts(session: Session) -> None:
    """Draw the choice of a prompt, its text, and its versions."""
    words = session.words
    if session.state.pop("prompt-saved", False):
        st.success(words("saved"), icon=":material/check:")
    try:
        found: list[Json] = session.api.get("prompts").get("prompts") or []
    except RagstackError as error:
        fail(error)
        return
    if not found:
        return
    by_name = {f"{one['language']} / {one['name']}": one for one in found}
    picked = st.selectbox(words("prompts.which"), list(by_name), key="prompt")
    prompt = by_name[str(picked)]
    place = ("prompts", str(prompt["language"]), str(prompt["name"]))
    with st.form(f"prompt-{picked}"):
        text = st.text_area(words("prompts.text"), value=str(prompt.get("text") or ""), height=320)
        saved = st.form_submit_button(words("save"), type="primary")
    if saved:
        _do(session, lambda: session.api.put(*place, body={"text": text}))
    _versions(session, prompt, place)


def _versions(session: Session, prompt: Json, place: tuple[str, ...]) -> None:
    words = session.words
    versions: list[Json] = prompt.get("versions") or []
    if not versions:
        st.caption(words("prompts.first"))
    for version in reversed(versions):
        name = version["version"]
        with st.expander(words("prompts.version", n=name, day=day(version.get("at")))):
            st.code(str(version.get("text") or ""), language=None, wrap_lines=True)
            if st.button(words("prompts.restore"), key=f"restore-{'-'.join(place)}-{name}"):
                body = {"version": name}
                _do(session, lambda body=body: session.api.post(*place, "restore", body=body))


def _do(session: Session, call: object) -> None:
    try:
        call()  # type: ignore[operator]
    except RagstackError as error:
        fail(error)
        return
    session.state["prompt-saved"] = True
    st.rerun()
