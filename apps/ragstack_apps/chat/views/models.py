"""The page *Models*: what is loaded, how fast it is, and what it holds."""

from __future__ import annotations

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import amount, fail, size
from ragstack_apps.chat.session import Page, Session

__all__ = ["PAGE", "page"]

PAGE = Page({"en": "Models", "fr": "Modèles"}, ":material/memory:", 70)


def page(session: Session) -> None:
    """Draw each model the server knows."""
    words = session.words
    st.title(PAGE.named(words.language))
    try:
        found: Json = session.api.get("models")
    except RagstackError as error:
        fail(error)
        return
    st.button(words("again"), icon=":material/refresh:")
    for model in found.get("models") or ():
        _model(session, model)
    rest = {key: value for key, value in found.items() if key != "models" and value}
    if rest:
        with st.expander(words("models.more")):
            st.json(rest, expanded=2)


def _model(session: Session, model: Json) -> None:
    words = session.words
    speed, memory = model.get("tokens_per_second"), model.get("memory_bytes")
    figures = {
        "models.loaded": words("yes" if model.get("loaded") else "no"),
        "models.speed": _rate(session, speed),
        "models.reading": _rate(session, model.get("prompt_tokens_per_second")),
        "models.memory": size(memory) if memory is not None else "–",
        "models.context": amount(model.get("context")),
        "models.streams": amount(model.get("streams")),
    }
    with st.container(border=True):
        st.text(str(model.get("name")))
        for column, (name, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
            column.metric(words(name), value)


def _rate(session: Session, value: float | None) -> str:
    if value is None:
        return "–"
    return session.words("models.rate", n=amount(value) if value >= 100 else f"{value:.1f}")
