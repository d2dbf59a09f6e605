"""Markdown in, the decoded file itself out, its headings, tables and code marked.

Front matter stays in the text and becomes metadata: ``key: value`` lines, no YAML beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ragstack.documents.build import build
from ragstack.documents.clean import collapse
from ragstack.documents.decode import decode
from ragstack.documents.limits import Limits, check_bytes
from ragstack.types import Document, Mark, Scalar

__all__ = ["MarkdownLoader", "markdown_marks"]

_FRONT = re.compile(
    r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)^\1[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
_FIELD = re.compile(r"([A-Za-z_][\w -]{0,40}?)[ \t]*[:=][ \t]*(.*)")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_INLINE = re.compile(r"!?\[([^\]\[]*)\]\([^()]*\)|(?<!\w)[*_]{1,3}|[*_]{1,3}(?!\w)|`")
_NOT_TITLE = re.compile(r"[ \t]*(?:[-*+>|#]|\d+[.)][ \t]|$)")
_ALIASES = {"lang": "language", "authors": "author"}
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)


class MarkdownLoader:
    """Reads Markdown; the text is kept as it is."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        text = decode(data, source=source)
        front = _FRONT.match(text)
        body = front.end() if front else 0
        meta: dict[str, Scalar] = {**(_fields(front[2]) if front else {}), "type": "markdown"}
        return build(text, source=source, meta=meta, marks=markdown_marks(text, body))


def markdown_marks(text: str, start: int = 0) -> list[Mark]:
    """Return the marks of headings (ATX and underlined), tables and fenced code from an offset."""
    marks: list[Mark] = []
    lines = list(_lines(text, start))
    at = 0
    while at < len(lines):
        offset, line = lines[at]
        fence = _FENCE.match(line)
        if fence and not (fence[1][0] == "`" and "`" in fence[2]):
            last = _fence_end(lines, at, fence[1])
            end = lines[last][0] + len(lines[last][1])
            marks.append(Mark("code", offset, end, label=fence[2].strip()[:40]))
            at = last + 1
        elif atx := _ATX.match(line):
            label = plain(atx[2] or "")
            marks.append(
                Mark("heading", offset, offset + len(line), label=label, level=len(atx[1]))
            )
            at += 1
        else:
            at = _two_lines(lines, at, marks)
    return marks


def plain(line: str) -> str:
    """Return a line of Markdown without links, emphasis and back quotes."""
    return collapse(_INLINE.sub(lambda found: found[1] or "", line))[:200]


def _two_lines(lines: list[tuple[int, str]], at: int, marks: list[Mark]) -> int:
    # An underlined heading or a table: what the second line says decides.
    offset, line = lines[at]
    below = lines[at + 1][1] if at + 1 < len(lines) else ""
    if "|" in line and "|" in below and _RULE.match(below):
        last = at + 1
        while last + 1 < len(lines) and "|" in lines[last + 1][1]:
            last += 1
        end = lines[last][0] + len(lines[last][1])
        header = " | ".join(filter(None, (plain(cell) for cell in line.split("|"))))
        marks.append(Mark("table", offset, end, label=header[:200]))
        return last + 1
    if (
        _SETEXT.match(below)
        and not _NOT_TITLE.match(line)
        and (at == 0 or not lines[at - 1][1].strip())
    ):
        level = 1 if "=" in below else 2
        end = lines[at + 1][0] + len(below)
        marks.append(Mark("heading", offset, end, label=plain(line), level=level))
        return at + 2
    return at + 1


def _lines(text: str, start: int) -> Iterator[tuple[int, str]]:
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end].removesuffix("\r")
        start = end + 1


def _fence_end(lines: list[tuple[int, str]], at: int, fence: str) -> int:
    for i in range(at + 1, len(lines)):
        closing = lines[i][1].strip()
        if closing.startswith(fence) and not closing.strip(fence[0]):
            return i
    return len(lines) - 1


def _fields(front: str) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for line in front.splitlines():
        field = _FIELD.fullmatch(line)
        if not field:
            continue
        key = field[1].strip().lower().replace(" ", "_")
        value = _value(field[2])
        if value is not None:
            found[_ALIASES.get(key, key)] = value
    found.pop("type", None)
    return found


def _value(written: str) -> Scalar:
    text = written.strip()
    if text.startswith("[") and text.endswith("]"):
        text = ", ".join(part.strip().strip("\"'") for part in text[1:-1].split(","))
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text or None
