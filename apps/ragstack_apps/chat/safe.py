"""Text of strangers in, what a page may show of it out. Knows no page.

An answer is written by a model that has read documents of anyone. Nothing in it may make the
browser load from elsewhere: a picture's address can carry away what the conversation said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape

from markdown_it import MarkdownIt

__all__ = ["marked", "plain", "shown"]

# The rules that are on, and no others: none of them makes an address. Links, pictures and raw
# HTML stay the text they were written as.
_RULES = (
    *("normalize", "block", "inline", "text_join"),
    *("paragraph", "heading", "list", "blockquote", "code", "fence", "hr", "table"),
    *("text", "newline", "emphasis", "backticks", "escape", "entity", "strikethrough"),
    *("balance_pairs", "fragments_join"),
)
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~$:^@&=])")
_MARKER = re.compile(r"\[(\d{1,3})\]")
_ADDRESS = re.compile(r"(?i)(https?|ftp|mailto|xmpp|www)(?=[:.])")
_JOINER = "\u2060"  # no width, no line break


def shown(text: str, *, marker: Callable[[int], str] | None = None) -> str:
    """Return a model's Markdown as HTML that has no address in it.

    Args:
        marker: Gives the HTML of a citation's number, written ``[1]`` in the text.
    """
    html: str = _parser().render(text)
    if marker is None:
        return html
    # Outside of tags and of code, where brackets are what was written.
    parts = re.split(
        r"(<pre>.*?</pre>|<pre><code.*?</code></pre>|<code>.*?</code>)", html, flags=re.S
    )
    return "".join(
        part if part.startswith(("<pre", "<code")) else _MARKER.sub(_by(marker), part)
        for part in parts
    )


def plain(text: str, *, most: int = 0) -> str:
    """Return text so that Streamlit's Markdown shows it letter by letter: for labels and notes.

    Args:
        most: Characters to show at most; 0 is all.
    """
    flat = " ".join(text.split())
    if most and len(flat) > most:
        flat = flat[: most - 1] + "…"
    # What looks like an address is made a link even where its signs are escaped.
    apart = _ADDRESS.sub(lambda found: found[0] + _JOINER, flat).replace("@", "@" + _JOINER)
    return _PUNCTUATION.sub(r"\\\1", apart)


def marked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return a document's text as HTML, with the given spans of it in ``<mark>``.

    Spans that leave the text are cut to it; those that overlap are joined.
    """
    pieces: list[str] = []
    at = 0
    for start, end in sorted(spans):
        start, end = max(at, start), min(len(text), end)
        if end <= start:
            continue
        pieces.append(escape(text[at:start]))
        pieces.append(f"<mark>{escape(text[start:end])}</mark>")
        at = end
    pieces.append(escape(text[at:]))
    return "".join(pieces)


def _by(marker: Callable[[int], str]) -> Callable[[re.Match[str]], str]:
    return lambda found: marker(int(found[1]))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero", {"html": False, "linkify": False, "breaks": True})
    return parser.enable(list(_RULES), ignoreInvalid=True)
