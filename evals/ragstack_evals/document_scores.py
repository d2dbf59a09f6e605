"""A document's text and what it should say in, how alike they are out. Pure; knows no files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Likeness", "f1", "likeness", "tables_of"]

_TOKEN = re.compile(r"\w+")
_MARKUP = re.compile(
    r"<!--.*?-->|!\[[^\]]*\]\([^)]*\)|\]\([^)\s]*\)|&(?:amp|lt|gt|nbsp);", re.DOTALL
)
_ROW = re.compile(r"^\s*\|(.*)\|\s*$")
_RULE = re.compile(r"[\s|:-]+")
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a text and its truth are.

    Attributes:
        tokens: F1 of their words, as bags: what was lost or added.
        pairs: F1 of their neighbouring words: what was lost, added or is in another order.
        tables: Tables in the text and in the truth.
        cells: F1 of the texts of the tables' cells, as bags; None where the truth has no table.
    """

    tokens: float
    pairs: float
    tables: tuple[int, int]
    cells: float | None


def likeness(text: str, truth: str) -> Likeness:
    """Return how alike two texts in Markdown are, marks of Markdown and letter case apart."""
    ours, theirs = _tokens(text), _tokens(truth)
    found, known = tables_of(text), tables_of(truth)
    cells = [cell for table in found for row in table for cell in row if cell]
    wanted = [cell for table in known for row in table for cell in row if cell]
    return Likeness(
        tokens=f1(ours, theirs),
        pairs=f1(pairwise(ours), pairwise(theirs)),
        tables=(len(found), len(known)),
        cells=f1(cells, wanted) if known else None,
    )


def f1(found: Iterable[Hashable], wanted: Iterable[Hashable]) -> float:
    """Return the harmonic mean of precision and recall of two bags; 1 for two empty ones."""
    ours, theirs = Counter(found), Counter(wanted)
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 1.0


def tables_of(text: str) -> list[list[tuple[str, ...]]]:
    """Return the pipe tables of a text: rows of normalised cells, the rule left out."""
    tables: list[list[tuple[str, ...]]] = []
    open_table = False
    for line in text.split("\n"):
        row = _ROW.match(line)
        if row is None:
            open_table = False
            continue
        if not open_table:
            tables.append([])
            open_table = True
        if not _RULE.fullmatch(line):
            tables[-1].append(tuple(" ".join(_tokens(cell)) for cell in _CELL.split(row[1])))
    return [table for table in tables if table]


def _tokens(text: str) -> Sequence[str]:
    plain = unicodedata.normalize("NFKC", _MARKUP.sub(" ", text.replace("\\_", " "))).lower()
    return _TOKEN.findall(plain.replace("_", " "))
