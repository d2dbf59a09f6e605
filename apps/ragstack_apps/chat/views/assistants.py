"""The page *Assistants*: instructions, tone, model and where to look, kept under a name."""

from __future__ import annotations

import json

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.manner import TRANSFORMS, collections_of, condition_of
from ragstack_apps.chat.notes import fail
from ragstack_apps.chat.session import Page, Session

__all__ = ["PAGE", "page"]

PAGE = Page({"en": "Assistants", "fr": "Assistants"}, ":material/support_agent:", 30)

_STYLES = ("", "brief", "normal", "detailed")


def page(session: Session) -> None:
    """Draw the choice of an assistant, and the form that makes or changes one."""
    words = session.words
    st.title(PAGE.named(words.language))
    st.caption(words("assistants.what"))
    try:
        found: list[Json] = session.api.get("assistants").get("assistants") or []
        models = [str(one["name"]) for one in session.api.get("models").get("models") or []]
    except RagstackError as error:
        fail(error)
        return
    by_name = {str(one["name"]): one for one in found}
    said = session.state.pop("assistant-said", "")
    if said:
        st.success(words(said), icon=":material/check:")
    name = st.selectbox(
        words("assistants.which"),
        ["", *by_name],
        format_func=lambda one: one or words("assistants.new"),
    )
    _form(session, by_name.get(name, {}), models)


def _form(session: Session, now: Json, models: list[str]) -> None:
    words, old = session.words, str(now.get("name") or "")
    collections = collections_of(session)
    retrieval: Json = now.get("retrieval") or {}
    with st.form(f"assistant-{old}"):
        name = st.text_input(words("assistants.name"), value=old, disabled=bool(old))
        instructions = st.text_area(
            words("assistants.instructions"), value=now.get("instructions") or "", height=160
        )
        tone = st.text_input(words("assistants.tone"), value=now.get("tone") or "")
        model = st.selectbox(
            words("manner.model"),
            _with(["", *models], now.get("model")),
            index=_with(["", *models], now.get("model")).index(now.get("model") or ""),
            format_func=lambda one: one or words("manner.as_set"),
        )
        chosen = [str(one) for one in now.get("collections") or ()]
        places = st.multiselect(
            words("assistants.collections"),
            sorted({*collections, *chosen}),
            default=chosen,
            placeholder=words("choose"),
        )
        style = st.selectbox(
            words("manner.style"),
            _STYLES,
            index=_STYLES.index(retrieval.get("style") or ""),
            format_func=lambda one: words(f"style.{one}") if one else words("manner.as_set"),
        )
        quotes = st.checkbox(words("manner.quotes"), value=bool(retrieval.get("quotes")))
        chosen_steps = [str(one) for one in retrieval.get("transforms") or ()]
        transforms = st.multiselect(
            words("manner.transforms"),
            sorted({*TRANSFORMS, *chosen_steps}),
            default=chosen_steps,
            help=words("manner.transforms.help"),
            placeholder=words("manner.as_set"),
        )
        where = st.text_input(words("manner.where"), value=_written(retrieval.get("where")))
        saved = st.form_submit_button(words("save"), type="primary")
    condition = condition_of(session, where) if saved else None
    if saved and not name.strip():
        st.error(words("assistants.nameless"))
    elif saved and (condition is not None or not where.strip()):
        body = {
            "instructions": instructions.strip(),
            "tone": tone.strip(),
            "model": model,
            "collections": places,
            "retrieval": {
                "style": style or None,
                "quotes": quotes or None,
                "transforms": transforms or None,
                "where": condition,
            },
        }
        _do(session, lambda: session.api.put("assistants", name.strip(), body=body), "saved")
    if old and st.button(words("assistants.delete"), icon=":material/delete:"):
        _do(session, lambda: session.api.delete("assistants", old), "deleted")


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _with(options: list[str], chosen: object) -> list[str]:
    """Return the options, and what is chosen even where it is no longer to be had."""
    return options if not chosen or chosen in options else [*options, str(chosen)]


def _do(session: Session, call: object, said: str) -> None:
    try:
        call()  # type: ignore[operator]
    except RagstackError as error:
        fail(error)
        return
    session.state["assistant-said"] = said
    st.rerun()
