"""The script that Streamlit runs for each drawing of a page. Run it by ``ragstack chat``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from ragstack import registry
from ragstack.errors import ConfigError, NotSignedIn, RagstackError
from ragstack_apps.chat.api import Api, Json
from ragstack_apps.chat.notes import fail
from ragstack_apps.chat.session import Page, Session
from ragstack_apps.chat.widgets import keep_token, kept_token
from ragstack_apps.chat.words import LANGUAGES, Words, nearest, words_of

__all__ = ["draw"]

_SPACE = "<style>.stMainBlockContainer {padding-top: 4.75rem}</style>"

URL = "RAGSTACK_CHAT_SERVER"
# Set where the pages are open to other machines: then nobody is let in by being on this one.
LOGIN = "RAGSTACK_CHAT_LOGIN"
# A file of ours: Streamlit's own icons are fetched from a font service when used as a favicon.
ICON = Path(__file__).with_name("icon.svg")


def draw() -> None:
    """Draw the page that the address names, or what stands in its way."""
    st.set_page_config(page_title="ragstack", page_icon=ICON, layout="wide")
    st.html(_SPACE)
    _remember()
    words = _language()
    token = st.session_state.get("token")
    api = _api(_server(), token or "")
    try:
        if os.environ.get(LOGIN):
            _check_closed(words)
            if not token:
                raise NotSignedIn(words("login.needed"))
        me: Json = api.get("me")
    except NotSignedIn as error:
        _login(api, words, error if token else None)
        return
    except RagstackError as error:
        fail(error)
        if st.button(words("again"), icon=":material/refresh:"):
            st.rerun()
        return
    session = Session(api, words, me, st.session_state)  # type: ignore[arg-type]
    found = st.navigation(_pages(session))
    _account(session)
    if token:
        # At every drawing: one that is cut short may not have reached the browser.
        with st.sidebar:
            keep_token(token, at=_decided())
    found.run()


def _remember() -> None:
    """Keep what was chosen on a page while another one is shown."""
    for name in st.session_state:
        if str(name).startswith(("manner-", "documents-collection", "map-", "inspect-")):
            st.session_state[name] = st.session_state[name]


def _language() -> Words:
    if "language" not in st.session_state:
        st.session_state.language = nearest(st.context.locale)
    return words_of(st.session_state.language)


def _check_closed(words: Words) -> None:
    """Refuse to stand between other machines and a server that lets in whoever is on this one.

    Raises:
        ConfigError: It answers without a log-in.
    """
    try:
        _api(_server(), "").get("me")
    except NotSignedIn:
        return
    raise ConfigError(words("login.open_server"), hint=words("login.open_server.hint"))


def _server() -> str:
    return os.environ.get(URL, "http://127.0.0.1:8000")


@st.cache_resource(max_entries=256, on_release=lambda api: api.close())
def _api(url: str, token: str) -> Api:
    return Api(url, token=token)


def _pages(session: Session) -> list[Any]:
    """Return the registered pages that this person may see, in order."""
    found: list[tuple[int, str, Page, Callable[[Session], None]]] = []
    for name in registry.names("pages"):
        body = registry.load("pages", name)
        about: Page = vars(sys.modules[body.__module__])["PAGE"]
        if session.may(about.right):
            found.append((about.place, name, about, body))
    found.sort(key=lambda one: one[:2])
    return [
        st.Page(
            partial(body, session),
            title=about.named(session.words.language),
            icon=about.icon,
            url_path=name,
            default=at == 0,
        )
        for at, (_, name, about, body) in enumerate(found)
    ]


def _account(session: Session) -> None:
    words = session.words
    with st.sidebar.popover(words("account"), icon=":material/tune:", width="stretch"):
        st.selectbox(
            words("language"), list(LANGUAGES), key="language", format_func=LANGUAGES.__getitem__
        )
        if session.me.get("user"):
            st.text(words("signed_in", user=session.me["user"]))
        if st.session_state.get("token") and st.button(words("logout"), icon=":material/logout:"):
            session.tried(lambda: session.api.post("logout"), fail)
            st.session_state.clear()
            _decide("")
            st.rerun()


def _login(api: Api, words: Words, refused: RagstackError | None) -> None:
    """Ask for a name and a password; a log-in that the tab remembers is tried first."""
    if refused:
        _decide("")
    elif "token" not in st.session_state:
        kept = kept_token()
        if kept is None:
            return
        _decide(kept)
        if kept:
            st.rerun()
    keep_token("", at=_decided())
    _, middle, _ = st.columns((1, 2, 1))
    with middle:
        st.title(words("login.title"))
        if refused:
            fail(refused)
        with st.form("login"):
            user = st.text_input(words("login.user"), autocomplete="username")
            password = st.text_input(
                words("login.password"), type="password", autocomplete="current-password"
            )
            sent = st.form_submit_button(words("login.send"), type="primary")
        if sent:
            try:
                told = api.post("login", body={"user": user, "password": password})
            except RagstackError as error:
                fail(error)
                return
            _enter(str(told["token"]))
        with st.expander(words("login.with_key")), st.form("key", border=False):
            key = st.text_input(words("login.key"), type="password", autocomplete="off")
            if st.form_submit_button(words("login.send")) and key.strip():
                _enter(key.strip())


def _enter(token: str) -> None:
    _decide(token)
    st.rerun()


def _decide(token: str) -> None:
    """Take a log-in for this session's; an empty one is none."""
    st.session_state.token = token
    st.session_state.decided = time.time()


def _decided() -> float:
    return float(st.session_state.get("decided", 0.0))


if __name__ == "__main__":
    draw()
