"""Whatever the text, the marks and the sizes: chunks keep every promise of the protocol."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ragstack.chunking.fixed import FixedChunker
from ragstack.chunking.markdown import MarkdownChunker
from ragstack.chunking.recursive import RecursiveChunker
from ragstack.chunking.sentence import SentenceChunker
from ragstack.chunking.tokens import tabulate
from ragstack.embedding.words import WordCounter
from ragstack.testing.chunkers import check_chunks
from ragstack.types import Document, Mark

COUNTER = WordCounter()
CHUNKERS: list[Callable[..., Any]] = [
    FixedChunker,
    RecursiveChunker,
    SentenceChunker,
    MarkdownChunker,
]

WORDS = st.sampled_from(
    (
        *("the", "ferry", "M.", "Dr.", "etc.", "3.5", "« Oui ! »", "end.", "why?", "…", "réparer"),
        *("\n", "\n\n", "# Title\n", "| a | b |\n", "```\n", "- item\n", "  ", "\t", "\r\n"),
    )
)
TEXTS = st.lists(WORDS, max_size=120).map(" ".join) | st.text(max_size=200)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS)
    places = st.integers(0, len(text))
    kinds = st.sampled_from(["heading", "page", "table", "code", "figure"])
    marks = []
    for _ in range(draw(st.integers(0, 6))):
        start, end = sorted((draw(places), draw(places)))
        label = draw(st.sampled_from(["", "One", "Two"]))
        marks.append(Mark(draw(kinds), start, end, label, draw(st.integers(0, 4)), page=start))
    marks.sort(key=lambda mark: mark.start)
    meta = draw(st.sampled_from([{}, {"title": "T"}, {"language": "fr", "page": 3}]))
    return Document("d", text, "d", meta=meta, marks=tuple(marks))


@given(
    document=documents(),
    chunker=st.sampled_from(CHUNKERS),
    size=st.integers(1, 30),
    share=st.floats(0, 0.5),
)
def test_promises(document: Document, chunker: Callable[..., Any], size: int, share: float) -> None:
    overlap = int(size * share)
    chunks = chunker(counter=COUNTER, size=size, overlap=overlap).chunk(document)
    check_chunks(document, chunks)
    table = tabulate(document.text, COUNTER)
    for chunk in chunks:
        # One place of the table may weigh more than a chunk may hold; nothing divides it.
        divisible = len(set(table.places.tolist()).intersection(range(chunk.start + 1, chunk.end)))
        assert table.tokens((chunk.start, chunk.end)) <= size or not divisible
    for before, after in pairwise(chunks):
        assert before.end < after.end
        shared = max(0, before.end - after.start)
        assert table.tokens((after.start, after.start + shared)) <= overlap
        assert after.start > before.start


@given(text=TEXTS, size=st.integers(1, 12), overlap=st.integers(0, 6))
def test_cut_covers_every_token(text: str, size: int, overlap: int) -> None:
    table = tabulate(text, COUNTER)
    spans = table.cut((0, len(text)), size=size, overlap=min(overlap, size // 2))
    covered = 0
    for start, end in spans:
        assert start <= covered < end or not text
        covered = end
    assert covered == len(text)
