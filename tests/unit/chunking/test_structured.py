"""Chunkers that read structure: HTML, JSON, code, tables, pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ragstack.chunking.auto import AutoChunker
from ragstack.chunking.code import CodeChunker
from ragstack.chunking.data import JsonChunker
from ragstack.chunking.html import HtmlChunker
from ragstack.chunking.page import PageChunker
from ragstack.chunking.table import TableChunker
from ragstack.documents.code import CodeLoader
from ragstack.documents.data import CsvLoader, JsonLoader
from ragstack.documents.html import HtmlLoader
from ragstack.embedding.words import WordCounter
from ragstack.errors import MissingExtra
from ragstack.testing.chunkers import check_chunks
from ragstack.types import Chunk, Document, Mark

COUNTER = WordCounter()


def _cut(chunker: Any, document: Document) -> list[Chunk]:
    found: list[Chunk] = chunker.chunk(document)
    check_chunks(document, found)
    return found


PAGE = """<html><head><title>Marais</title></head><body>
<h1>Le marais</h1><p>Une réserve au bord de la mer.</p>
<h2>Oiseaux</h2><h3>Hérons</h3><p>Ils pêchent à l’aube.</p><h3>Grues</h3><p>Elles passent.</p>
<h2>Digues</h2><p>{}</p></body></html>"""


def test_html_keeps_small_parts_of_one_heading_together() -> None:
    long = "La digue tient bon depuis des siècles. " * 12
    document = HtmlLoader().load(PAGE.format(long).encode(), source="m.html")
    chunks = _cut(HtmlChunker(counter=COUNTER, size=60, least=8), document)
    assert "Hérons" in chunks[0].text
    assert "Grues" in chunks[0].text
    assert "Digues" not in chunks[0].text
    assert chunks[1].text.startswith("## Digues")
    assert [chunk.context for chunk in chunks] == ["Marais", "Le marais", *chunks[2:2]] + [
        "Le marais > Digues"
    ] * (len(chunks) - 2)
    assert all(COUNTER.count(chunk.text) <= 60 for chunk in chunks)


def test_html_takes_a_heading_without_text_along() -> None:
    text = "# A\n\n" + "Word word word word. " * 8 + "\n\n# B\n\n## C\n\n" + "Some more text. " * 30
    marks = [Mark("heading", text.index(h), text.index(h) + 3, h, 1) for h in ("# A", "# B")]
    marks.append(Mark("heading", text.index("## C"), text.index("## C") + 4, "## C", 2))
    chunks = _cut(
        HtmlChunker(counter=COUNTER, size=60, least=10), Document("d", text, "d", {}, tuple(marks))
    )
    assert chunks[1].text.startswith("# B\n\n## C\n\nSome")


def test_headings_of_a_thousand_depths_are_no_error() -> None:
    text = "".join(f"h{n}\n" for n in range(3_000))
    starts = [0, *(i + 1 for i, c in enumerate(text) if c == "\n")][:3_000]
    marks = tuple(Mark("heading", s, s + 2, "h", n) for n, s in enumerate(starts))
    assert _cut(HtmlChunker(counter=COUNTER, size=20), Document("d", text, "d", {}, marks))


RECORDS = {
    "users": [{"name": f"U{n}", "address": {"city": "Évry", "zip": 91_000 + n}} for n in range(20)],
    "rate": -1.5e3,
    "open": True,
}


def _scalars(text: str) -> set[str]:
    return {'"Évry"', "-1500.0", "true", *(str(91_000 + n) for n in range(20))}


@pytest.mark.parametrize("size", [8, 20, 60])
def test_json_cuts_no_scalar_and_names_the_path(size: int) -> None:
    text = json.dumps(RECORDS, ensure_ascii=False)
    document = JsonLoader().load(text.encode(), source="r.json")
    chunks = _cut(JsonChunker(counter=COUNTER, size=size), document)
    for scalar in _scalars(text):
        assert any(scalar in chunk.text for chunk in chunks), scalar
    assert all(COUNTER.count(chunk.text) <= size for chunk in chunks)
    contexts = {chunk.context for chunk in chunks}
    assert any(context.startswith("users") for context in contexts)
    if size == 8:
        assert "users > 3 > address" in contexts


def test_json_lines_are_records() -> None:
    text = "\n".join(json.dumps({"id": n, "said": "one two three four"}) for n in range(30))
    chunks = _cut(JsonChunker(counter=COUNTER, size=40), Document("d", text, "d.jsonl"))
    assert len(chunks) > 5
    assert all(chunk.text.startswith('{"id"') and chunk.text.endswith("}") for chunk in chunks)


def test_json_text_longer_than_a_chunk_is_cut_at_sentences() -> None:
    text = json.dumps({"body": "The tide came in. " * 40})
    chunks = _cut(JsonChunker(counter=COUNTER, size=30), Document("d", text, "d.json"))
    assert len(chunks) > 5
    assert chunks[2].text.startswith("The tide")


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 20_000 + "1" + "}" * 20_000, "[" * 50_000, '"' * 9_999, "{,,:]}" * 5_000, '{"a" 1'],
    ids=["deep", "open", "quotes", "nonsense", "broken"],
)
def test_what_is_hardly_json_is_cut_too(text: str) -> None:
    chunks = _cut(JsonChunker(counter=COUNTER, size=50), Document("d", text, "d.json"))
    assert all(COUNTER.count(chunk.text) <= 60 for chunk in chunks)


def test_a_table_repeats_its_header() -> None:
    rows = "".join(f"| rope {n} | {n} m |\n" for n in range(40))
    text = f"# Stock\n\nWhat is there.\n\n| thing | length |\n|---|---|\n{rows}\nThe end."
    chunks = _cut(TableChunker(counter=COUNTER, size=50, context="none"), Document("d", text, "d"))
    inner = [chunk for chunk in chunks if chunk.text.startswith("| rope")]
    assert len(inner) > 3
    assert {chunk.context for chunk in inner} == {"| thing | length |\n|---|---|"}
    assert all(chunk.text.endswith("|") for chunk in inner)
    assert all(COUNTER.count(chunk.indexed_text) <= 50 for chunk in inner)
    assert (chunks[0].context, chunks[-1].context, chunks[-1].text) == ("", "", "The end.")


def test_csv_rows_keep_quoted_line_ends() -> None:
    data = "id,note\n" + "".join(f'{n},"one\ntwo ""three"""\n' for n in range(40))
    document = CsvLoader().load(data.encode(), source="t.csv")
    chunks = _cut(TableChunker(counter=COUNTER, size=40), document)
    assert len(chunks) > 4
    assert all(chunk.text.endswith('"""') for chunk in chunks)
    assert all(chunk.context.endswith("id,note") for chunk in chunks[1:])


def test_a_quote_that_is_never_closed_ends_at_a_line() -> None:
    data = 'a,b\n5" pipe,x\n' + "1,two words\n" * 400
    document = CsvLoader().load(data.encode(), source="t.csv")
    chunks = _cut(TableChunker(counter=COUNTER, size=40), document)
    assert all(COUNTER.count(chunk.text) <= 40 for chunk in chunks)
    assert all(chunk.text.endswith("words") for chunk in chunks[1:])


def test_a_header_wider_than_a_chunk_leaves_room_for_rows() -> None:
    wide = "| " + " | ".join(f"column {n}" for n in range(90)) + " |"
    text = f"{wide}\n|---|---|\n" + "| some cells | here |\n" * 60
    chunks = _cut(TableChunker(counter=COUNTER, size=60), Document("d", text, "d"))
    assert any("some cells" in chunk.text for chunk in chunks)
    assert all(len(chunk.context) < 300 for chunk in chunks)


def test_no_chunk_crosses_a_page() -> None:
    pages = ["First page. Short.", "Second page. " * 30, "Third."]
    text = "\n\n".join(page.strip() for page in pages)
    starts = [0, text.index("Second"), text.index("Third")]
    marks = tuple(Mark("page", s, s + 1, page=n) for n, s in enumerate(starts, 1))
    chunks = _cut(PageChunker(counter=COUNTER, size=40), Document("d", text, "d.pdf", {}, marks))
    assert [chunk.meta["page"] for chunk in chunks] == [1, *[2] * (len(chunks) - 2), 3]
    assert len(chunks) > 4


PYTHON = '''import os

# What it is for.
@final
class Mill(Base):
    """A mill."""

    def grind(self, grain: str) -> str:
        # Between the stones.
        if grain:
            return grain.upper()
        return ""

    def stop(self) -> None:
        self.wheel.halt()


async def visit(mill: Mill) -> None:
    await mill.open()
'''


def test_code_keeps_functions_whole_and_says_where_they_are() -> None:
    pytest.importorskip("tree_sitter_python")
    document = CodeLoader().load(PYTHON.encode(), source="mill.py")
    chunks = _cut(CodeChunker(counter=COUNTER, size=44), document)
    grind = next(chunk for chunk in chunks if "def grind" in chunk.text)
    assert 'return ""' in grind.text
    assert "return grain.upper()" in grind.text
    assert grind.text.startswith("def grind")
    assert grind.context == "mill.py\nclass Mill(Base)"
    assert chunks[0].text.endswith('"""A mill."""')
    visit = next(chunk for chunk in chunks if "async def" in chunk.text)
    assert visit.text.endswith("await mill.open()")


def test_a_long_function_is_cut_between_statements() -> None:
    pytest.importorskip("tree_sitter_python")
    body = "".join(f"    value_{n} = compute(\n        {n},\n    )\n" for n in range(30))
    document = CodeLoader().load(f"def run(x):\n{body}".encode(), source="run.py")
    chunks = _cut(CodeChunker(counter=COUNTER, size=40), document)
    assert len(chunks) > 5
    assert all(chunk.text.startswith("value_") for chunk in chunks[1:])
    assert {chunk.context for chunk in chunks[1:]} == {"run.py\ndef run(x)"}


_RUN = "{\n    one();\n    two();\n  }\n"
_CODE = {
    "rust": ("impl Mill {\n  fn a(&self) -> u8 " + _RUN + "}\n", "impl Mill > fn a(&self) -> u8"),
    "java": ("class Mill {\n  int a(int x) " + _RUN + "}\n", "class Mill > int a(int x)"),
    "typescript": (
        "class Mill {\n  a(x: number): X " + _RUN + "}\n",
        "class Mill > a(x: number): X",
    ),
    "go": ("func (m *Mill) a() " + _RUN, "func (m *Mill) a()"),
    "cpp": ("class Mill {\n  void a() " + _RUN + "};\n", "class Mill > void a()"),
    "c": ("void a(int x)\n" + _RUN, "void a(int x)"),
    "csharp": ("class Mill {\n  void A() " + _RUN + "}\n", "class Mill > void A()"),
    "ruby": ("class Mill\n  def a(x)\n    one\n    two()\n  end\nend\n", "class Mill > def a(x)"),
    "php": ("<?php\nclass Mill {\n  function a() " + _RUN + "}\n", "class Mill > function a()"),
    "javascript": ("class Mill {\n  a(x) " + _RUN + "}\n", "class Mill > a(x)"),
    "shell": ("a() {\n  one 1 2\n  two 1 2\n}\n", "a()"),
}


@pytest.mark.parametrize("language", _CODE)
def test_definitions_of_each_language(language: str) -> None:
    pytest.importorskip("tree_sitter")
    code, signature = _CODE[language]
    document = Document("d", code, "d", {"code_language": language})
    chunks = _cut(CodeChunker(counter=COUNTER, size=5), document)
    last = next(chunk for chunk in chunks if chunk.text.startswith("two"))
    assert last.context == signature


def test_code_in_an_unknown_language_is_cut_at_its_definitions() -> None:
    code = "".join(f"-- about {n}\nfoo{n} :: Int -> Int\nfoo{n} x = x + {n}\n\n" for n in range(20))
    document = CodeLoader().load(code.encode(), source="a.hs")
    chunks = _cut(CodeChunker(counter=COUNTER, size=40, fallback=True), document)
    assert len(chunks) > 3
    assert all("::" in chunk.text for chunk in chunks)


def test_without_tree_sitter_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragstack.chunking.code.installed", lambda: False)
    with pytest.raises(MissingExtra, match="tree_sitter"):
        CodeChunker(counter=COUNTER)


def test_auto_goes_by_the_type() -> None:
    auto = AutoChunker(counter=COUNTER, size=20)
    text = json.dumps(RECORDS)
    as_json = _cut(auto, Document("d", text, "d", {"type": "json"}))
    assert as_json == _cut(
        JsonChunker(counter=COUNTER, size=20), Document("d", text, "d", {"type": "json"})
    )
    assert as_json != _cut(auto, Document("d", text, "d", {"type": "text"}))
