"""Every chunker on texts that nobody wrote: spans true, nothing lost, sizes kept, metadata sane."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack import registry
from ragstack.chunking.tokens import tabulate
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.testing.chunkers import check_chunks
from ragstack.types import Document, Mark

EMBEDDER = HashingEmbedder(dimensions=16)
SIZE = 24
OPTIONS: dict[str, dict[str, Any]] = {
    "hierarchical": {"size": SIZE // 2, "parent": SIZE * 2},
    "code": {"fallback": True},
}
PIECES = st.sampled_from(
    [
        *("# Titre\n\n", "## Part\n", "The tide came in. ", "« Qui paie ? » dit-il. ", "M. Hulot "),
        *('{"a": [1, 2.5, "b c"], ', "]}", '"', "| a | b |\n", "|---|---|\n", "```\n", "\n\n"),
        *("def f(x):\n", "    return x\n", "class A {\n", "}\n", "// note\n", "\ud800", "x" * 90),
        *("1,2,3\n", "a,b\n", " ", "\t", "日本語。", "\r\n", "\u200b", "é", "- item\n", "<p>", "…"),
    ]
)  # fmt: skip
KINDS = st.sampled_from(["heading", "page", "table", "code", "figure"])
TYPES = st.sampled_from([None, "code", "json", "html", "csv", "xlsx", "markdown"])
LANGUAGES = st.sampled_from(["python", "cpp", "ruby", "typescript", "cobol", None])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = "".join(draw(st.lists(PIECES, min_size=1, max_size=60)))
    marks = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, len(text)))
        level = draw(st.integers(0, 9))
        marks.append(Mark(draw(KINDS), start, end, text[start:end][:20], level, page=level or None))
    meta = {
        "type": draw(TYPES),
        "code_language": draw(LANGUAGES),
        "language": draw(st.sampled_from(["en", "fr", None])),
    }
    marks.sort(key=lambda mark: mark.start)
    return Document("d", text, "d", meta, tuple(marks))


OBJECTS = {"langchain", "llama_index"}  # these wrap an object of the caller's: tests of the bridges


@pytest.mark.parametrize("name", [n for n in registry.TABLE["chunkers"] if n not in OBJECTS])
@settings(max_examples=40, deadline=None)
@given(document=documents())
def test_every_chunker_keeps_its_promises(name: str, document: Document) -> None:
    options = {"size": SIZE, **OPTIONS.get(name, {})}
    if name in ("fixed", "sentence"):
        options["overlap"] = 6
    chunker = registry.create("chunkers", name, options, counter=EMBEDDER, embedder=EMBEDDER)
    chunks = chunker.chunk(document)
    check_chunks(document, chunks)
    table = tabulate(document.text, EMBEDDER)
    for chunk in chunks:
        # A token may begin in one chunk and end in the next; it counts where it begins.
        assert table.tokens((chunk.start, chunk.end)) <= options["size"] + 1
        for key in ("parent", "window"):
            if key in chunk.meta:
                start, end = map(int, str(chunk.meta[key]).split("-"))
                assert start <= chunk.start < chunk.end <= end <= len(document.text)
