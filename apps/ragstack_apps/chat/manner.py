"""How questions are asked, as chosen above the conversation: where to look, how to answer."""

from __future__ import annotations

import json

import streamlit as st

from ragstack.errors import RagstackError
from ragstack.pipeline.find import DEFAULT
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import fail
from ragstack_apps.chat.session import Session

__all__ = ["TRANSFORMS", "collections_of", "condition_of", "draw_manner"]

_STYLES = ("normal", "brief", "detailed")
TRANSFORMS = (
    *("rewrite", "multi_query", "hyde", "decompose", "step_back"),
    *("self_query", "cross_lingual", "as_of"),
)


def draw_manner(session: Session) -> Json:
    """Draw the choices, and return them as the body of a question."""
    words = session.words
    with st.popover(words("manner.title"), icon=":material/tune:"):
        assistant = _picked(session, "assistant", _named(session, "assistants"))
        collection = _picked(session, "collection", collections_of(session))
        model = _picked(session, "model", _named(session, "models"))
        style = st.selectbox(
            words("manner.style"),
            _STYLES,
            format_func=lambda name: words(f"style.{name}"),
            key="manner-style",
        )
        quotes = st.checkbox(words("manner.quotes"), key="manner-quotes")
        transforms = st.multiselect(
            words("manner.transforms"),
            TRANSFORMS,
            key="manner-transforms",
            help=words("manner.transforms.help"),
            placeholder=words("manner.as_set"),
        )
        where = condition_of(
            session,
            st.text_input(
                words("manner.where"), key="manner-where", placeholder='{"language": "fr"}'
            ),
        )
    given = {
        "assistant": assistant,
        "collection": collection,
        "model": model,
        "style": style if style != _STYLES[0] else None,
        "quotes": quotes or None,
        "transforms": transforms or None,
        "where": where,
    }
    manner = {name: value for name, value in given.items() if value is not None}
    session.state["manner"] = manner
    return manner


def collections_of(session: Session) -> list[str]:
    """Return the names of the collections that may be read, the one that is usual first."""
    return sorted(_named(session, "collections"), key=lambda name: (name != DEFAULT, name))


def _named(session: Session, what: str) -> list[str]:
    """Return the names in a list of the server's; none where it cannot be had."""
    try:
        found = session.api.get(what).get(what) or []
    except RagstackError as error:
        fail(error)
        return []
    return [str(one["name"]) if isinstance(one, dict) else str(one) for one in found]


def _picked(session: Session, name: str, options: list[str]) -> str | None:
    words, key = session.words, f"manner-{name}"
    if st.session_state.get(key) not in (None, "", *options):
        st.session_state[key] = ""
    found = st.selectbox(
        words(f"manner.{name}"),
        ["", *options],
        format_func=lambda one: one or words("manner.as_set"),
        key=key,
    )
    return found or None


def condition_of(session: Session, text: str) -> Json | None:
    """Return the filter that was written, or None; one that cannot be read is said so."""
    words = session.words
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        st.error(words("manner.where.bad"))
        return None
    return found
