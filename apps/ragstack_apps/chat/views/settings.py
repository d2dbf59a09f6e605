"""The page *Settings*: ``ragstack.toml`` as a form, and the prompts with their versions."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import fail
from ragstack_apps.chat.prompts import draw_prompts
from ragstack_apps.chat.safe import plain
from ragstack_apps.chat.session import Page, Session

__all__ = ["PAGE", "changes", "page"]

PAGE = Page({"en": "Settings", "fr": "Réglages"}, ":material/settings:", 40, "admin")


def page(session: Session) -> None:
    """Draw the form of settings and the editor of prompts."""
    words = session.words
    st.title(PAGE.named(words.language))
    one, other = st.tabs([words("settings.form"), words("settings.prompts")])
    with one:
        _settings(session)
    with other:
        draw_prompts(session)


def _settings(session: Session) -> None:
    words = session.words
    if session.state.pop("settings-saved", False):
        st.success(words("settings.saved"), icon=":material/check:")
    try:
        told: Json = session.api.get("settings")
    except RagstackError as error:
        fail(error)
        return
    found: Json = told.get("config") or told.get("settings") or told
    st.caption(words("settings.what"))
    with st.form("settings"):
        given: Json = {}
        for section, value in found.items():
            if isinstance(value, dict):
                with st.expander(plain(section)):
                    given[section] = {
                        name: _field(session, f"{section}.{name}", name, one)
                        for name, one in value.items()
                    }
            else:
                given[section] = _field(session, section, section, value)
        saved = st.form_submit_button(words("save"), type="primary")
    if not saved:
        return
    try:
        changed = changes(found, given)
    except ValueError as error:
        st.error(plain(words("settings.bad", name=str(error))))
        return
    if not changed:
        st.info(words("settings.same"))
        return
    if session.tried(lambda: session.api.put("settings", body={"config": changed}) or True, fail):
        session.state["settings-saved"] = True
        st.rerun()


def _field(session: Session, key: str, name: str, value: Any) -> Any:
    label, key = plain(name), f"set-{key}"
    if isinstance(value, bool):
        return st.checkbox(label, value=value, key=key)
    if isinstance(value, int):
        return int(st.number_input(label, value=value, step=1, key=key))
    if isinstance(value, float):
        return float(st.number_input(label, value=value, format="%g", key=key))
    if isinstance(value, str):
        return st.text_input(label, value=value, key=key)
    help_text = session.words("settings.json")
    return st.text_area(label, value=json.dumps(value, ensure_ascii=False), key=key, help=help_text)


def changes(now: Json, given: Json) -> Json:
    """Return what was changed, in the form in which it was given out.

    Raises:
        ValueError: A field of JSON holds none; its name.
    """
    changed: Json = {}
    for name, value in given.items():
        before = now[name]
        if isinstance(before, dict) and isinstance(value, dict):
            inside = changes(before, value)
            if inside:
                changed[name] = inside
            continue
        if isinstance(value, str) and not isinstance(before, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise ValueError(name) from None
        if value != before:
            changed[name] = value
    return changed
