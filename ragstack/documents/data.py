"""JSON, JSON lines, CSV and TSV in, the decoded file itself out, with what marks its structure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from ragstack.documents.build import build
from ragstack.documents.clean import collapse
from ragstack.documents.decode import decode
from ragstack.documents.limits import Limits, check_bytes
from ragstack.errors import BrokenDocument, DocumentTooLarge
from ragstack.types import Document, Mark, Scalar

__all__ = ["CsvLoader", "JsonLoader", "delimiter_of", "is_json", "is_json_lines"]

_SPACE = re.compile(r"[ \t\r\n]*")
_MAX_KEYS = 1_000
_MAX_LABEL = 200
_DELIMITERS = ",;\t|"
_SNIFFED = 1 << 15
_SNIFFED_ROWS = 40
_META_KEYS = {"title": "title", "name": "title", "author": "author", "date": "date"}


class JsonLoader:
    """Reads JSON and JSON lines; each key of an outermost object is marked as a heading."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        text = decode(data, source=source)
        try:
            marks, meta = self._structure(text, source)
        except RecursionError as error:
            raise self._too_deep(source) from error
        return build(text, source=source, meta=meta, marks=marks)

    def _structure(self, text: str, source: str) -> tuple[list[Mark], dict[str, Scalar]]:
        if is_json_lines(text):
            return [], {"title": None, "type": "jsonl"}
        try:
            value = json.loads(text)
        except ValueError as error:
            raise BrokenDocument(
                f"{source!r} is no JSON: {error}", hint="keep it as a text file to read it as text"
            ) from error
        if _depth_exceeds(value, text, self._limits.max_depth):
            raise self._too_deep(source)
        found: dict[str, Scalar] = {}
        if isinstance(value, dict):
            for key, name in _META_KEYS.items():
                if isinstance(value.get(key), str) and name not in found:
                    found[name] = value[key]
            return _key_marks(text), {"title": None, **found, "type": "json"}
        return [], {"type": "json"}

    def _too_deep(self, source: str) -> DocumentTooLarge:
        return DocumentTooLarge(
            f"the JSON of {source!r} is nested more than {self._limits.max_depth} deep"
        )


class CsvLoader:
    """Reads delimited tables; the whole is marked as a table, its header as the label."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        text = decode(data, source=source)
        start = len(text) - len(text.lstrip())
        delimiter = delimiter_of(text) or ","
        header = next((row for row in _rows(text, delimiter) if any(row)), [])
        label = " | ".join(filter(None, (collapse(cell) for cell in header)))
        marks = [Mark("table", start, len(text.rstrip()), label=label[:_MAX_LABEL])]
        kind = "tsv" if delimiter == "\t" else "csv"
        return build(text, source=source, meta={"type": kind}, marks=marks if text.strip() else ())


def is_json(text: str) -> bool:
    """Return whether a text is one JSON object or array."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def is_json_lines(text: str) -> bool:
    """Return whether a text is a JSON object or array on each of two lines or more."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        return False
    try:
        return all(line.lstrip()[0] in "{[" and json.loads(line) is not None for line in lines)
    except (ValueError, RecursionError):
        return False


def delimiter_of(text: str) -> str:
    """Return the delimiter of a table, or an empty string for what is none.

    The one which divides the first rows most often into the same number of fields, two or more;
    nine rows in ten must agree.
    """
    whole = len(text) <= _SNIFFED
    sample = text[:_SNIFFED] if whole else text[:_SNIFFED].rsplit("\n", 1)[0]
    best, most = "", 0.0
    for delimiter in _DELIMITERS:
        rows = [row for row in _rows(sample, delimiter, limit=_SNIFFED_ROWS) if any(row)]
        widths = [len(row) for row in rows]
        if len(rows) < 2 or max(widths) < 2:
            continue
        usual = max(set(widths), key=widths.count)
        share = widths.count(usual) / len(widths)
        if usual > 1 and share >= 0.9 and share * usual > most:
            best, most = delimiter, share * usual
    return best


def _rows(text: str, delimiter: str, *, limit: int = 1 << 30) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for _ in range(limit):
        try:
            yield next(reader)
        except (StopIteration, csv.Error):
            return


def _depth_exceeds(value: Any, text: str, limit: int) -> bool:
    if text.count("[") + text.count("{") <= limit:
        return False
    level = [value]
    for _ in range(limit):
        below: list[Any] = []
        for item in level:
            inside = item.values() if isinstance(item, dict) else item
            below.extend(each for each in inside if isinstance(each, (dict, list)))
        if not below:
            return False
        level = below
    return True


def _key_marks(text: str) -> list[Mark]:
    # The text has been read once, so it is an object and nothing here can fail.
    decoder = json.JSONDecoder()
    marks: list[Mark] = []
    at = _after_space(text, text.index("{") + 1)
    while text[at] == '"' and len(marks) < _MAX_KEYS:
        key, end = scanstring(text, at + 1)
        if key.strip():
            marks.append(Mark("heading", at, end, label=collapse(key)[:_MAX_LABEL], level=1))
        colon = _after_space(text, end)
        _, end = decoder.raw_decode(text, _after_space(text, colon + 1))
        at = _after_space(text, end)
        if text[at] != ",":
            break
        at = _after_space(text, at + 1)
    return marks


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
