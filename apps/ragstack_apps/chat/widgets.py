"""An answer with buttons in it, a text scrolled to its highlight, a log-in that outlives a reload.

Their scripts are the lines here and nothing else; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ragstack_apps.chat.style import MARK

__all__ = ["answer_html", "highlighted", "keep_token", "kept_token"]

_TEXT_CSS = f"""
.text {{ font-family: var(--st-font); color: var(--st-text-color); line-height: 1.6;
  overflow-wrap: anywhere; }}
.text.answer {{ font-size: 1rem; }}
.text.source {{ white-space: pre-wrap; max-height: 55vh; overflow-y: auto; padding: 0.75rem;
  border: 1px solid var(--st-border-color); border-radius: 0.5rem; }}
mark {{ background: {MARK["background"]}; color: {MARK["text"]}; padding: 0 2px;
  border-radius: 2px; }}
pre {{ overflow-x: auto; padding: 0.75rem; border-radius: 0.5rem;
  background: var(--st-secondary-background-color); }}
code {{ font-family: var(--st-code-font); }}
table {{ border-collapse: collapse; }}
td, th {{ border: 1px solid var(--st-border-color); padding: 0.25rem 0.5rem; }}
button.cite {{ font: inherit; font-size: 0.75rem; line-height: 1.2; margin: 0 2px; padding: 0 5px;
  border: 1px solid var(--st-link-color); border-radius: 0.6rem; cursor: pointer;
  background: transparent; color: var(--st-link-color); vertical-align: 0.15em; }}
button.cite:hover, button.cite:focus-visible {{ background: var(--st-link-color);
  color: var(--st-background-color); outline: 2px solid var(--st-link-color);
  outline-offset: 1px; }}
"""

# The HTML is made by ``safe``, which writes no address into it.
_ANSWER_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const place = parentElement.querySelector('.text');
  place.innerHTML = data.html;
  for (const button of place.querySelectorAll('button.cite')) {
    button.onclick = () => setTriggerValue('cite', Number(button.dataset.marker));
  }
}
"""
_SOURCE_JS = """
export default function ({ data, parentElement }) {
  const place = parentElement.querySelector('.text');
  place.innerHTML = data.html;
  place.setAttribute('aria-label', data.label);
  const mark = place.querySelector('mark');
  if (!mark) return;
  const show = () => {
    const into = mark.getBoundingClientRect().top - place.getBoundingClientRect().top;
    place.scrollTop += into - place.clientHeight / 3;
  };
  show();
  // A dialog opens with a movement, and has its height only at the end of it.
  const late = setTimeout(show, 350);
  return () => clearTimeout(late);
}
"""
_TOKEN_JS = """
export default function ({ data, setStateValue }) {
  const name = 'ragstack';
  // What is drawn no more may be run once more after what took its place: the later word counts.
  const last = Number(sessionStorage.getItem(name + '-at') || 0);
  const late = data.at < last && data.at > last - 60;  // beyond: the server's clock was set
  if (data.at && !late) {
    sessionStorage.setItem(name + '-at', String(data.at));
    if (data.token) sessionStorage.setItem(name, data.token);
    else sessionStorage.removeItem(name);
  }
  const kept = sessionStorage.getItem(name) || '';
  if (data.ask) setStateValue('token', kept);
}
"""

_answer = st.components.v2.component(
    "ragstack_answer", html='<div class="text answer"></div>', css=_TEXT_CSS, js=_ANSWER_JS
)
_source = st.components.v2.component(
    "ragstack_source",
    html='<div class="text source" tabindex="0" role="region"></div>',
    css=_TEXT_CSS,
    js=_SOURCE_JS,
)
_token = st.components.v2.component("ragstack_token", html="<span hidden></span>", js=_TOKEN_JS)


def answer_html(html: str, *, key: str, on_cite: Callable[[int], None]) -> None:
    """Show an answer; a click on one of its ``button.cite`` calls back with its number."""

    def clicked() -> None:
        told: Any = st.session_state.get(key)
        marker = told.get("cite") if told else None
        if marker is not None:
            on_cite(int(marker))

    _answer(data={"html": html}, key=key, on_cite_change=clicked)


def highlighted(html: str, *, label: str, key: str) -> None:
    """Show a document's text in a box of its own, its first ``<mark>`` scrolled into view."""
    _source(data={"html": html, "label": label}, key=key)


def keep_token(token: str, *, at: float) -> None:
    """Have this tab of the browser remember a log-in; an empty one makes it forget.

    Args:
        at: When it was decided, in seconds of the clock; what was decided later stays.
    """
    _token(data={"token": token, "at": at}, key="token-kept")


def kept_token() -> str | None:
    """Return the log-in that this tab remembers: empty is none, None is not known yet.

    The browser answers with a rerun of the page.
    """
    told: Any = _token(data={"ask": True}, key="token-asked", on_token_change=_nothing)
    found = told.get("token") if told else None
    return None if found is None else str(found)


def _nothing() -> None:
    """Have the component's value kept."""
