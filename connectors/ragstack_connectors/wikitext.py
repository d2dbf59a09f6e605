"""Wikitext in, Markdown of its prose out. Templates, tables and notes are left out.

What templates would say needs the wiki that runs them; a dump alone holds their names.
"""

from __future__ import annotations

import html
import re

__all__ = ["markdown"]

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DROPPED = re.compile(
    r"<(ref|gallery|math|timeline|score|imagemap|templatestyles)\b[^<>]*?(?:/>|>.*?</\1\s*>)",
    re.DOTALL | re.IGNORECASE,
)
_VERBATIM = re.compile(r"<(nowiki|pre|syntaxhighlight|source)\b[^<>]*>(.*?)</\1\s*>", re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_HEADING = re.compile(r"^(={1,6})\s*(.+?)\s*\1\s*$", re.MULTILINE)
_LINK = re.compile(r"\[\[([^\[\]|]*)(?:\|([^\[\]]*))?\]\]")
_EXTERNAL = re.compile(r"\[(?:https?:)?//[^\s\[\]]+(?:\s+([^\[\]]*))?\]")
_QUOTES = re.compile(r"'{2,5}")
_LIST = re.compile(r"^([*#:;]+)[ \t]*", re.MULTILINE)
_SWITCH = re.compile(r"__[A-Z]+__")
_BLANKS = re.compile(r"\n{3,}")
_SPACES = re.compile(r"[ \t]+\n")
_FILES = re.compile(r"\s*[^\W\d_]+:\S.*\.(?:jpe?g|png|gif|svg|webp|ogg|ogv|webm|pdf|tiff?)\b", re.I)
_CATEGORY = re.compile(r"(?:Category|Catégorie|Kategorie|Categoría|Categoria)\s*:", re.I)


def markdown(text: str) -> str:
    """Return the prose: headings, lists and the words of links. Linear in the text's length."""
    text = _COMMENT.sub("", text)
    text = _without_nested(text, "{{", "}}")
    text = _without_nested(text, "{|", "|}")
    text = _DROPPED.sub("", text)
    text = _VERBATIM.sub(lambda found: found[2], text)
    # Links stand in links' labels (a picture's caption): the inner ones first.
    for _ in range(3):
        text, changed = _LINK.subn(_linked, text)
        if not changed:
            break
    text = _EXTERNAL.sub(lambda found: found[1] or "", text)
    text = _TAG.sub("", text)
    text = _QUOTES.sub("", text)
    text = _SWITCH.sub("", text)
    text = _LIST.sub(_listed, text)
    text = _HEADING.sub(lambda found: f"{'#' * max(2, len(found[1]))} {found[2]}", text)
    text = html.unescape(text).replace("\u00a0", " ")
    return _BLANKS.sub("\n\n", _SPACES.sub("\n", text)).strip()


def _without_nested(text: str, opening: str, closing: str) -> str:
    """Return the text without what stands between two marks, which may nest."""
    kept: list[str] = []
    depth, place = 0, 0
    for found in re.finditer(f"{re.escape(opening)}|{re.escape(closing)}", text):
        if found[0] == opening:
            if depth == 0:
                kept.append(text[place : found.start()])
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                place = found.end()
    if depth:
        # What was opened and never closed is text, so that an article does not end there.
        kept.pop()
    kept.append(text[place:])
    return "".join(kept)


def _linked(found: re.Match[str]) -> str:
    target, label = found[1].strip(), found[2]
    if target.startswith(":"):
        return label or target[1:]
    if _FILES.match(target) or _CATEGORY.match(target):
        return ""
    return label.rpartition("|")[2] if label else target.partition("#")[0] or target


def _listed(found: re.Match[str]) -> str:
    marks = found[1]
    if marks[-1] in ":;":
        return ""
    return "  " * (len(marks) - 1) + ("- " if marks[-1] == "*" else "1. ")
