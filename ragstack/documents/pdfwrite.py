"""Laid out pages in, their blocks written out: paragraphs, headings, tables with captions, marks.

Knows nothing of where the pages come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragstack.documents.captions import is_caption
from ragstack.documents.pdflayout import Block, PageLines, blocks_of
from ragstack.documents.writer import TextWriter
from ragstack.types import Span

__all__ = ["write_pages"]


def write_pages(
    writer: TextWriter,
    pages: Sequence[PageLines],
    *,
    label: Callable[[int], str] = lambda _number: "",
    headings: bool,
) -> None:
    """Write pages; what was read from a picture is marked as a figure, with its rectangle.

    Args:
        label: Gives the printed label of a page.
        headings: Take short lines in a larger font for headings.
    """
    blocks = blocks_of(pages, by_size=headings)
    captions = _captions(blocks)
    taken = set(captions.values())
    for i, block in enumerate(blocks):
        if writer.page != block.page:
            writer.open_page(block.page, label(block.page))
        if i in taken:
            continue
        start, end = _write(writer, block, blocks[captions[i]].text if i in captions else "")
        if block.lines[0].seen:
            writer.mark("figure", start, end, box=block.box)


def _write(writer: TextWriter, block: Block, caption: str) -> Span:
    if block.rows:
        return writer.table(block.rows, caption=caption, box=block.box)
    if block.level:
        return writer.heading(block.text, block.level)
    if block.glue is not None:
        return writer.write(block.text, gap=0, glue=block.glue)
    return writer.write(block.text)


def _captions(blocks: Sequence[Block]) -> dict[int, int]:
    # table -> the block that names it: the one before it, else the one after it.
    found: dict[int, int] = {}
    for i, block in enumerate(blocks):
        if not block.rows:
            continue
        for j in (i - 1, i + 1):
            beside = 0 <= j < len(blocks) and blocks[j].page == block.page
            if beside and j not in found.values() and _names(blocks[j]):
                found[i] = j
                break
    return found


def _names(block: Block) -> bool:
    return not block.rows and block.glue is None and is_caption(block.text)
