from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from ragstack.chunking.fixed import FixedChunker
from ragstack.chunking.markdown import MarkdownChunker
from ragstack.chunking.recursive import RecursiveChunker
from ragstack.chunking.sentence import SentenceChunker
from ragstack.embedding.words import WordCounter
from ragstack.errors import ConfigError
from ragstack.testing.chunkers import check_chunks
from ragstack.types import Document, Mark

COUNTER = WordCounter()
CHUNKERS: list[Callable[..., Any]] = [
    FixedChunker,
    RecursiveChunker,
    SentenceChunker,
    MarkdownChunker,
]


def _markdown(text: str, **meta: Any) -> Document:
    marks = [
        Mark("heading", found.start(), found.end(), found[2], len(found[1]))
        for found in re.finditer(r"^(#+) (.*)$", text, re.MULTILINE)
    ]
    return Document("d", text, "d.md", meta=meta, marks=tuple(marks))


def _texts(chunker: Any, document: Document) -> list[str]:
    chunks = chunker.chunk(document)
    check_chunks(document, chunks)
    return [chunk.text for chunk in chunks]


def test_fixed_repeats_what_overlaps() -> None:
    document = Document("d", "one two three four five six seven", "d")
    found = _texts(FixedChunker(counter=COUNTER, size=3, overlap=1), document)
    assert found == ["one two three", "three four five", "five six seven"]


def test_sentences_stay_whole_and_overlap_whole() -> None:
    text = "M. A dort. Il rit. Elle part. On mange."
    document = Document("d", text, "d", meta={"language": "fr"})
    found = _texts(SentenceChunker(counter=COUNTER, size=8, overlap=3), document)
    assert found == ["M. A dort. Il rit.", "Il rit. Elle part.", "Elle part. On mange."]


def test_the_language_is_the_documents() -> None:
    text = "Ask Me. Roy leaves now then."
    english = Document("d", text, "d", meta={"language": "en"})
    french = Document("d", text, "d", meta={"language": "fr"})
    chunker = SentenceChunker(counter=COUNTER, size=7, overlap=0)
    assert _texts(chunker, english) == ["Ask Me.", "Roy leaves now then."]
    assert _texts(chunker, french)[0] != "Ask Me."


def test_recursive_keeps_paragraphs() -> None:
    text = "One two. Three four.\n\nFive six. Seven.\n\n" + "Long one here. " * 4
    found = _texts(RecursiveChunker(counter=COUNTER, size=9), Document("d", text, "d"))
    assert found[:2] == ["One two. Three four.", "Five six. Seven."]
    assert all(chunk.endswith(".") for chunk in found)


def test_markdown_keeps_to_sections() -> None:
    text = (
        "# Guide\n\n## Install\n\nRun the installer now and wait for it to end.\n\n"
        "## Use\n\nOpen the door. " + "Turn the key. " * 6 + "\n\n# Notes\n\nNone at all, so far."
    )
    chunker = MarkdownChunker(counter=COUNTER, size=24, least=4)
    chunks = chunker.chunk(_markdown(text, title="Manual"))
    assert [(chunk.context, chunk.text[:14], chunk.meta["heading"]) for chunk in chunks] == [
        ("Manual", "# Guide\n\n## In", "Guide"),
        ("Guide", "## Use\n\nOpen t", "Guide > Use"),
        ("Guide > Use", "Turn the key. ", "Guide > Use"),
        ("Manual", "# Notes\n\nNone ", "Notes"),
    ]


def test_markdown_reads_headings_of_any_document() -> None:
    text = "RULES\nNo dogs are let in at all.\nFEES\nThree euros for each of the days."
    marks = (
        Mark("heading", 0, 5, "RULES", 1),
        Mark("heading", text.index("FEES"), text.index("FEES") + 4, "FEES", 1),
    )
    document = Document("d", text, "scan.pdf", marks=marks)
    found = _texts(MarkdownChunker(counter=COUNTER, size=16, least=3), document)
    assert found == ["RULES\nNo dogs are let in at all.", text[text.index("FEES") :]]


FENCE = "```python\nx = 1. \n\ny = 2. \n\nz = 3. \n```"
TABLE = "| a. | b. |\n|----|----|\n| 1. | 2. |\n| 3. | 4. |"


@pytest.mark.parametrize("block", [FENCE, TABLE])
def test_what_belongs_together_is_not_cut(block: str) -> None:
    size = COUNTER.count(block)
    text = f"Before it. There is this.\n\n{block}\n\nAfter it. There is that."
    found = _texts(MarkdownChunker(counter=COUNTER, size=size), Document("d", text, "d"))
    assert block in found
    cut = _texts(RecursiveChunker(counter=COUNTER, size=size // 2), Document("d", text, "d"))
    assert block not in cut


def test_a_marked_table_is_not_cut_either() -> None:
    rows = "\n\n".join(f"row {number}. cell" for number in range(6))
    text = f"Before it comes a text of words.\n\n{rows}\n\nAfter it comes a text of words."
    mark = Mark("table", text.index("row 0"), text.index("After") - 2)
    document = Document("d", text, "d.docx", marks=(mark,))
    size = COUNTER.count(rows)
    chunks = MarkdownChunker(counter=COUNTER, size=size).chunk(document)
    assert [chunk.kind for chunk in chunks] == ["text", "table", "text"]


def test_a_long_table_is_cut_between_rows() -> None:
    table = "\n".join(f"| cell {number}. More | x |" for number in range(40))
    found = _texts(MarkdownChunker(counter=COUNTER, size=30), Document("d", table, "d"))
    assert len(found) > 5
    assert all(chunk.startswith("| cell") and chunk.endswith("|") for chunk in found)


def test_an_unclosed_fence_protects_nothing() -> None:
    text = "```\n" + "One. Two. Three.\n\n" * 20
    assert len(_texts(MarkdownChunker(counter=COUNTER, size=20), Document("d", text, "d"))) > 5


@pytest.mark.parametrize("chunker", CHUNKERS)
@pytest.mark.parametrize(
    "text",
    ["x" * 300_000, "word " * 60_000, "a" + " " * 300_000 + "b", "A. " * 80_000, "\n" * 300_000],
    ids=["word", "line", "blanks", "stops", "breaks"],
)
def test_odd_documents_neither_hang_nor_come_back_whole(
    chunker: Callable[..., Any], text: str
) -> None:
    begun = time.process_time()
    found = _texts(chunker(counter=COUNTER), Document("d", text, "d"))
    assert time.process_time() - begun < 4
    assert max(map(len, found), default=0) < 3_000


@pytest.mark.parametrize("chunker", CHUNKERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size"),
        ({"size": 10, "overlap": 6}, "overlap"),
        ({"overlap": -1}, "overlap"),
        ({"context": "everything"}, "context"),
    ],
)
def test_options_are_checked(chunker: Callable[..., Any], options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chunker(counter=COUNTER, **options)
