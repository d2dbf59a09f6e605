"""Lines of pages in, blocks of text out: running heads dropped, lines joined, hyphens resolved.

Pure geometry and text: knows nothing of PDF, of any library and of documents.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ragstack.documents.clean import ends_sentence, joins_word

__all__ = ["Block", "Line", "PageLines", "blocks_of", "body_size", "without_furniture"]

_HYPHENS = ("-", "‐")
_ZONE = 0.12
_MIN_REPEATS = 3
_PAGE_NUMBER = re.compile(
    r"[\W_]*(?:(?:page|p|seite|pág)\b\.?\s*)?(?:\d{1,5}|[ivxlc]{1,7})"
    r"(?:\s*(?:/|\bof\b|\bsur\b|\bde\b|\bvon\b)\s*\d{1,5})?[\W_]*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"(?:[•◦▪●○■□–—*‣-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]|☐|☒)\s+\S")
_NUMBERED = re.compile(r"(?:\d+(?:\.\d+)*\.?|[IVXLC]+\.?)\s+\S")
_PAGED = re.compile(r"[\s.]\d{1,4}\s*$")
_WORD = re.compile(r"[^\W\d_]+(?:[-‐'’][^\W\d_]+)*")
_COLUMN_STEP = 12.0
# Words that follow a hyphen of their own: the line end did not put it there.
_AFTER_HYPHEN = frozenset(
    [
        "based", "driven", "free", "friendly", "level", "like", "oriented", "related", "scale",
        "specific", "term", "wide", "ce", "ci", "elle", "elles", "en", "eux", "il", "ils", "je",
        "la", "le", "les", "leur", "lui", "là", "moi", "même", "mêmes", "nous", "on", "toi", "tu",
        "vous", "y",
    ]
)  # fmt: skip
_SIZE_STEP = 1.12
_PITCH_STEP = 1.3
_HEADING_STEP = 1.15
_MAX_HEADING = 200
_MAX_HEADING_LINES = 3
_MAX_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text with its rectangle in points, origin top left, and its font size.

    Attributes:
        level: Depth as a heading that the outline names, 0 for any other line.
        rows: The cells of a table, which has no text of its own.
        seen: Read from a picture.
    """

    text: str
    x0: float
    top: float
    x1: float
    bottom: float
    size: float
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()
    seen: bool = False


@dataclass(frozen=True, slots=True)
class PageLines:
    """The lines of a page in reading order."""

    number: int
    height: float
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Block:
    """A paragraph or a heading (``level`` above 0) on a page.

    Attributes:
        glue: What stands before it instead of a blank line where a paragraph runs on from the page
            before; None for a block of its own.
    """

    page: int
    text: str
    level: int = 0
    glue: str | None = None
    lines: list[Line] = field(default_factory=list, repr=False)

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The cells of a table; empty for any other block."""
        return self.lines[0].rows if self.lines else ()

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The rectangle around its lines in points, origin top left."""
        return (
            min(line.x0 for line in self.lines), min(line.top for line in self.lines),
            max(line.x1 for line in self.lines), max(line.bottom for line in self.lines),
        )  # fmt: skip


def without_furniture(pages: Sequence[PageLines]) -> list[PageLines]:
    """Return the pages without what is repeated at their top or bottom, and without page numbers.

    A line within the outer 12 % of the page's height is dropped when the same text, digits apart,
    stands there on three pages or more; the first or last line on a page when it is a page number
    and there is another page.
    """
    seen: Counter[tuple[bool, str]] = Counter()
    for page in pages:
        seen.update({_key(line, page) for line in page.lines if _in_zone(line, page)})
    kept = []
    for page in pages:
        outermost = _outermost(page) if len(pages) > 1 else ()
        lines = tuple(
            line
            for line in page.lines
            if not (
                (_in_zone(line, page) and seen[_key(line, page)] >= _MIN_REPEATS)
                or (line in outermost and _PAGE_NUMBER.fullmatch(line.text.strip()))
            )
        )
        kept.append(replace(page, lines=lines))
    return kept


def body_size(pages: Sequence[PageLines]) -> float:
    """Return the font size that most characters have, in points; 0 without text."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def blocks_of(pages: Sequence[PageLines], *, by_size: bool) -> list[Block]:
    """Return the paragraphs and headings of pages, in order.

    Args:
        by_size: Take short lines in a larger font for headings; for a document whose outline
            names none.
    """
    words = _vocabulary(pages)
    blocks: list[Block] = []
    for page in pages:
        first = len(blocks)
        edges = _right_edges(page.lines)
        for group in _groups(page.lines, edges):
            text = "" if group[0].rows else _joined(group, edges, words)
            blocks.append(Block(page.number, text, level=group[0].level, lines=group))
        if 0 < first < len(blocks):
            _run_on(blocks[first - 1], blocks[first], words)
    if by_size:
        _levels_by_size(blocks, body_size(pages))
    return blocks


def _in_zone(line: Line, page: PageLines) -> bool:
    edge = line.bottom < _ZONE * page.height or line.top > (1 - _ZONE) * page.height
    return edge and not line.rows


def _outermost(page: PageLines) -> tuple[Line, ...]:
    if not page.lines:
        return ()
    first = min(page.lines, key=lambda line: line.top)
    last = max(page.lines, key=lambda line: line.bottom)
    return tuple(
        line
        for line in (first, last)
        if line.bottom < 2 * _ZONE * page.height or line.top > (1 - 2 * _ZONE) * page.height
    )


def _key(line: Line, page: PageLines) -> tuple[bool, str]:
    text = re.sub(r"\d+|\b[ivxlc]+\b", "#", line.text.lower())
    return line.top > page.height / 2, " ".join(text.split())


def _groups(lines: Sequence[Line], edges: dict[int, float]) -> Iterator[list[Line]]:
    pitch = _usual_pitch(lines, edges)
    group: list[Line] = []
    for line in lines:
        if group and not _continues(group, line, pitch):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _continues(group: list[Line], line: Line, pitch: float) -> bool:
    last = group[-1]
    if line.rows or last.rows:
        return False
    if line.level or last.level:
        return line.level == last.level < 0
    if max(line.size, last.size) > _SIZE_STEP * min(line.size, last.size):
        return False
    step = line.top - last.top
    if step < -last.size:
        # Up again: the next column. A paragraph runs on where its sentence does.
        return not ends_sentence(last.text) and line.text[:1].islower()
    if pitch and step > _PITCH_STEP * max(pitch, last.size):
        return False
    indented = line.x0 > last.x0 + 0.8 * line.size and line.x0 < last.x0 + 5 * line.size
    return not (
        indented and ends_sentence(last.text) and line.text[:1].isupper() and len(group) > 1
    )


def _usual_pitch(lines: Sequence[Line], edges: dict[int, float]) -> float:
    # Between a full line and the next of the same column there is no more than line spacing; where
    # no line is full, the lower third of all steps will do.
    wrapped: list[float] = []
    steps: list[float] = []
    for a, b in pairwise([line for line in lines if not line.rows]):
        step = b.top - a.top
        if 0 < step < 4 * a.size and abs(a.size - b.size) < 0.1 * a.size:
            steps.append(step)
            if abs(a.x0 - b.x0) < 0.5 * a.size and a.x1 > edges[_column(a)] - 2 * a.size:
                wrapped.append(step)
    if len(wrapped) > 2:
        return sorted(wrapped)[len(wrapped) // 2]
    return sorted(steps)[len(steps) // 3] if steps else 0.0


def _joined(group: list[Line], edges: dict[int, float], words: Counter[str]) -> str:
    parts = [group[0].text.strip()]
    for last, line in pairwise(group):
        text = line.text.strip()
        if _ends_inside_word(last.text):
            if joins_word(parts[-1], text) and not _keeps_hyphen(parts[-1], text, words):
                parts[-1] = parts[-1][:-1]
        elif (
            _BULLET.match(text)
            or _is_entry(last, line)
            or _broken_on_purpose(last, line, edges[_column(last)])
        ):
            parts.append("\n")
        else:
            parts.append(" ")
        parts.append(text)
    return "".join(parts)


def _is_entry(last: Line, line: Line) -> bool:
    # Rows of a table of contents, and rows whose cells lie far apart.
    apart = "  " in last.text or "  " in line.text
    return apart or bool(_NUMBERED.match(line.text) and _PAGED.search(last.text))


def _vocabulary(pages: Sequence[PageLines]) -> Counter[str]:
    # The two halves of a word that a line end divides are no words.
    words: Counter[str] = Counter()
    for page in pages:
        divided = False
        for line in page.lines:
            found = [word.lower() for word in _WORD.findall(line.text)]
            words.update(found[1:] if divided else found)
            words.update(part for word in found if "-" in word for part in word.split("-"))
            divided = _ends_inside_word(line.text)
            if divided and found:
                words[found[-1]] -= 1
    return words


def _right_edges(lines: Sequence[Line]) -> dict[int, float]:
    # Where a column's lines end: not the widest, which may be a title across two columns.
    ends: defaultdict[int, list[float]] = defaultdict(list)
    for line in lines:
        if not line.rows:
            ends[_column(line)].append(line.x1)
    edges: dict[int, float] = {}
    for column in ends:
        near = sorted(end for i in range(column - 2, column + 3) for end in ends.get(i, ()))
        edges[column] = near[int(0.8 * (len(near) - 1))]
    return edges


def _column(line: Line) -> int:
    return int(line.x0 // _COLUMN_STEP)


def _broken_on_purpose(last: Line, line: Line, right: float) -> bool:
    # The next line's first word would have fitted on the line before: no one wrapped it there.
    word = line.text.split(" ", 1)[0]
    width = (line.x1 - line.x0) * (len(word) + 1) / max(len(line.text), 1)
    return last.x1 + width + 0.5 * last.size < right


def _ends_inside_word(text: str) -> bool:
    return text[-1:] in _HYPHENS and text[-2:-1].isalnum()


def _keeps_hyphen(left: str, right: str, words: Counter[str]) -> bool:
    tail, head = _WORD.findall(left[:-1])[-1:], _WORD.match(right)
    if not tail or not head:
        return True
    before, after = tail[0].lower(), head[0].lower()
    if words[f"{before}-{after}"]:
        return True
    if "-" in before or after in _AFTER_HYPHEN:
        return True
    known = words[before] and words[after] and min(len(before), len(after)) > 2
    return bool(known and not words[before + after])


def _run_on(last: Block, block: Block, words: Counter[str]) -> None:
    # A paragraph that a page break cuts goes on after a space, a word after nothing.
    if last.rows or last.level or block.level or ends_sentence(last.text):
        return
    if not block.text[:1].islower():
        return
    if max(last.lines[-1].size, block.lines[0].size) > _SIZE_STEP * min(
        last.lines[-1].size, block.lines[0].size
    ):
        return
    if _ends_inside_word(last.text):
        if joins_word(last.text, block.text) and not _keeps_hyphen(last.text, block.text, words):
            last.text = last.text[:-1]
        block.glue = ""
    else:
        block.glue = " "


def _levels_by_size(blocks: list[Block], body: float) -> None:
    found: defaultdict[float, list[Block]] = defaultdict(list)
    for block in blocks:
        size = min(line.size for line in block.lines)
        short = len(block.text) <= _MAX_HEADING and len(block.lines) <= _MAX_HEADING_LINES
        letters = sum(map(str.isalpha, block.text))
        if body and size > _HEADING_STEP * body and short and letters > 2 and block.glue is None:
            found[round(size * 2) / 2].append(block)
    for level, size in enumerate(sorted(found, reverse=True), start=1):
        for block in found[size]:
            block.level = min(level, _MAX_LEVELS)
