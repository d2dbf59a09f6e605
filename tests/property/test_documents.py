from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack.documents.clean import characters, collapse
from ragstack.documents.data import CsvLoader, JsonLoader, delimiter_of
from ragstack.documents.decode import decode
from ragstack.documents.dispatch import load_document
from ragstack.documents.markdown import MarkdownLoader, markdown_marks
from ragstack.documents.meta import iso_date, typed
from ragstack.documents.pdflayout import Line, PageLines, blocks_of, without_furniture
from ragstack.documents.text import TextLoader
from ragstack.documents.writer import TextWriter
from ragstack.errors import DocumentError
from ragstack.testing.samples import (
    docx_bytes,
    epub_bytes,
    mail_bytes,
    pdf_bytes,
    pptx_bytes,
    xlsx_bytes,
)
from ragstack.types import Document, Source

SAMPLES = {
    "pdf": pdf_bytes(
        [[(50, 50, 20, "Title"), (50, 90, 10, "A line of text.")], [(50, 50, 10, "More.")]],
        info={"Title": "T"},
        outline=[("Title", 1)],
    ),
    "docx": docx_bytes([("Heading1", "Title"), ("", "A line.")], table=[["a", "b"], ["1", "2"]]),
    "pptx": pptx_bytes([("Title", "A line of text.")]),
    "xlsx": xlsx_bytes({"Sheet": [["a", "b"], ["1", "2"]]}),
    "epub": epub_bytes([("Title", "A line of text.")]),
    "rtf": rb"{\rtf1\ansi {\b Title}\par A line of text with \'e9.\par}",
    "html": b"<!doctype html><html><body><h1>T</h1><table><tr><td>1<td>2<tr><td>3<td>4</table>"
    b"<ul><li>a<ol><li>b</ol></ul><pre>x</pre><p>caf&eacute;</p></body></html>",
    "xml": b"<?xml version='1.0' encoding='utf-8'?><a><b>text</b><c x='1'>more</c></a>",
    "mail": mail_bytes("A subject", "A body.", html="<p>A body</p>", attachment="a.pdf"),
    "json": b'{"a": [1, 2, {"b": null}], "c": "text"}',
    "jsonl": b'{"a": 1}\n{"a": 2}\n',
    "csv": b"a,b\n1,2\n3,4\n",
    "code": b"#!/bin/sh\nfoo() {\n  echo hello\n}\n",
    "markdown": b"---\ntitle: x\n---\n# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n",
}

mutations = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "repeat", "swap"]),
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=8,
)
texts = st.text(st.characters(), max_size=200)
encodable = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def mutated(data: bytes, steps: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, first, second, extra in steps:
        at, to = sorted((int(first * len(data)), int(second * len(data))))
        to = min(to, at + 200)
        if kind == "set":
            data = data[:at] + extra + data[at + len(extra) :]
        elif kind == "cut":
            data = data[:at] + data[to:]
        elif kind == "insert":
            data = data[:at] + extra + data[at:]
        elif kind == "repeat":
            data = data[:to] + data[at:to] * 3 + data[to:]
        else:
            data = data[:at] + data[at:to][::-1] + data[to:]
    return data


def assert_sound(document: Document) -> None:
    document.text.encode("utf-8")
    assert document.text.strip()
    assert [m.start for m in document.marks] == sorted(m.start for m in document.marks)
    for mark in document.marks:
        assert 0 <= mark.start < mark.end <= len(document.text)


@pytest.mark.parametrize("kind", sorted(SAMPLES))
@settings(max_examples=60)
@given(steps=mutations, suffix=st.sampled_from(["", ".txt", ".html", ".json", ".csv", ".md"]))
def test_only_document_errors_leave(
    kind: str, steps: list[tuple[str, float, float, bytes]], suffix: str
) -> None:
    source = Source("/tmp/file" + suffix, mutated(SAMPLES[kind], steps))
    try:
        document = load_document(source)
    except DocumentError as error:
        assert error.message
    else:
        assert_sound(document)


@given(st.binary(max_size=400), st.sampled_from(["a", "a.pdf", "a.docx", "a.eml", "a.xml", "a.py"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    try:
        assert_sound(load_document(Source(name, data)))
    except DocumentError as error:
        assert error.message


@given(encodable, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_text_is_the_decoded_file(text: str, encoding: str) -> None:
    if not text.strip() or text.startswith("\ufeff") or "\x00" in text:
        return
    assert TextLoader().load(text.encode(encoding), source="a").text == text


french = st.sampled_from(
    ["été", "où", "ça", "garçon", "cœur", "« Oui »", "L’hiver", "forêt", "naïf"]
)


@given(st.lists(french, min_size=1, max_size=20))
def test_french_of_windows_is_told(words: list[str]) -> None:
    text = "Le chat dort sur la table. " * len(words) + " ".join(words)
    assert decode(text.encode("cp1252"), source="a") == text


@pytest.mark.parametrize("loader", [MarkdownLoader, CsvLoader, JsonLoader])
@given(text=encodable)
def test_kept_texts_stay_as_they_are(loader: Callable[[], TextLoader], text: str) -> None:
    try:
        document = loader().load(text.encode(), source="a")
    except DocumentError:
        return
    if not text.startswith("\ufeff") and "\x00" not in text:
        assert document.text == text
    assert_sound(document)


@given(
    st.lists(
        st.sampled_from(
            ["# A", "## B *c* #", "text", "", "Title", "===", "---", "```py", "```", "| a | b |",
             "|---|---|", "| 1 | 2 |", "- item", "####### seven", "#hash", "~~~", "    # code"]
        ),
        max_size=30,
    ),
    st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_markdown_marks_are_whole_lines(lines: list[str], end: str) -> None:
    text = end.join(lines)
    for mark in markdown_marks(text):
        span = text[mark.start : mark.end]
        assert mark.start == 0 or text[mark.start - 1] == "\n"
        assert mark.end == len(text) or text[mark.end] in "\r\n"
        if mark.kind == "heading":
            assert span.startswith("#" * mark.level) or span.endswith(("=", "-"))
        if mark.kind == "code":
            assert span.startswith(("```", "~~~"))


blocks = st.lists(
    st.one_of(
        st.tuples(st.just("heading"), texts),
        st.tuples(st.just("block"), texts),
        st.tuples(st.just("code"), texts),
        st.tuples(st.just("table"), texts),
        st.tuples(st.just("page"), st.just("")),
    ),
    max_size=12,
)


@given(blocks)
def test_offsets_of_a_writer_are_true(pieces: list[tuple[str, str]]) -> None:
    writer, pages = TextWriter(), 0
    for kind, text in pieces:
        if kind == "heading":
            writer.heading(text, 2)
        elif kind == "block":
            writer.block(text)
        elif kind == "code":
            writer.code(text)
        elif kind == "table":
            writer.table([["a", text], [text, "b"]])
        else:
            pages += 1
            writer.open_page(pages)
    length = len(writer)
    written, marks = writer.finish()
    assert len(written) == length
    assert not written.startswith("\n")
    for mark in marks:
        span = written[mark.start : mark.end]
        assert span
        if mark.kind == "heading":
            assert span == f"## {mark.label}" or len(mark.label) == 200
        if mark.kind == "code":
            assert span.startswith("```")
            assert span.endswith("```")
        if mark.kind == "table":
            assert span.startswith("|")
            assert span.endswith("|")
        inside = [m for m in marks if m.kind == "page" and m.page == mark.page]
        assert mark.page is None or (inside[0].start <= mark.start and mark.end <= inside[0].end)


@given(texts)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = characters(text)
    assert characters(once) == once
    assert "\r" not in once
    once.encode("utf-8")
    assert collapse(collapse(text)) == collapse(text)


words = st.text(st.sampled_from("abcdefgé-"), min_size=1, max_size=8).filter(lambda w: w.strip("-"))
lines = st.lists(st.lists(words, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=12)


@given(st.lists(lines, min_size=1, max_size=4))
def test_no_letter_of_a_page_is_lost(pages: list[list[str]]) -> None:
    laid = [
        PageLines(
            i + 1,
            800.0,
            tuple(
                Line(text, 50, 200 + 12 * j, 50 + 5 * len(text), 210 + 12 * j, 10.0)
                for j, text in enumerate(page)
            ),
        )
        for i, page in enumerate(pages)
    ]
    joined = "".join(block.text for block in blocks_of(without_furniture(laid), by_size=True))
    letters = "".join(char for page in pages for line in page for char in line if char.isalpha())
    assert "".join(char for char in joined if char.isalpha()) == letters


@given(texts)
def test_dates_are_iso_or_nothing(text: str) -> None:
    found = iso_date(text)
    assert found is None or iso_date(found) == found


@given(st.dictionaries(st.sampled_from(["title", "author", "date", "language", "x"]), texts))
def test_typed_metadata_have_no_empty_values(found: dict[str, str]) -> None:
    meta = typed(**found)
    assert all(value not in ("", None) for value in meta.values())
    assert "language" not in meta or len(str(meta["language"])) == 2


@given(
    st.lists(st.lists(st.text("ab c", max_size=4), min_size=2, max_size=4), min_size=3, max_size=9)
)
def test_the_delimiter_of_a_table_is_found(rows: list[list[str]]) -> None:
    width = min(len(row) for row in rows)
    for delimiter in ",;\t|":
        table = "\n".join(delimiter.join(f"x{cell}" for cell in row[:width]) for row in rows)
        assert delimiter_of(table) == delimiter
