"""Loaders whose text is the decoded file itself: Markdown, code, JSON, CSV; and XML."""

from __future__ import annotations

import pytest

from ragstack.documents.code import CodeLoader, code_language
from ragstack.documents.data import CsvLoader, JsonLoader
from ragstack.documents.limits import Limits
from ragstack.documents.markdown import MarkdownLoader
from ragstack.documents.xml import XmlLoader
from ragstack.errors import BrokenDocument, DocumentTooLarge
from ragstack.types import Document

MARKDOWN = """---
title: "Les abeilles"
authors: [Ada, Bob]
lang: fr
draft: true
rank: 3
---
Intro
=====

# One [link](x) `code` *em* snake_case #
```md
# no heading
```
Two
---
- a list

---
| a | b |
|---|:-:|
| 1 | 2 |
not a table | at all
"""


def spans(document: Document) -> list[tuple[str, str, int]]:
    return [(m.kind, document.text[m.start : m.end], m.level) for m in document.marks]


def test_markdown() -> None:
    document = MarkdownLoader().load(MARKDOWN.encode(), source="a")
    assert document.text == MARKDOWN
    assert spans(document) == [
        ("heading", "Intro\n=====", 1),
        ("heading", "# One [link](x) `code` *em* snake_case #", 1),
        ("code", "```md\n# no heading\n```", 0),
        ("table", "| a | b |\n|---|:-:|\n| 1 | 2 |\nnot a table | at all", 0),
    ]
    assert document.marks[1].label == "One link code em snake_case"
    assert document.marks[3].label == "a | b"
    assert document.meta == {
        "title": "Les abeilles",
        "author": "Ada, Bob",
        "language": "fr",
        "draft": True,
        "rank": 3,
        "type": "markdown",
    }


def test_markdown_keeps_windows_line_ends() -> None:
    text = "Title\r\n=====\r\n\r\n## Two\r\n"
    document = MarkdownLoader().load(text.encode(), source="a")
    assert document.text == text
    assert spans(document) == [("heading", "Title\r\n=====", 1), ("heading", "## Two", 2)]
    assert document.meta["title"] == "Title"


def test_a_fence_that_is_never_closed_ends_with_the_text() -> None:
    document = MarkdownLoader().load(b"~~~\n# no\n", source="a")
    assert spans(document) == [("code", "~~~\n# no", 0)]


@pytest.mark.parametrize(
    ("name", "start", "language"),
    [
        ("a/b.py", "", "python"),
        ("a.PY", "", "python"),
        ("Makefile", "", "makefile"),
        ("run", "#!/usr/bin/env node\n", "javascript"),
        ("run", "#!/bin/sh\n", "shell"),
        ("page.txt", "<?php", "php"),
        ("a.txt", "text", None),
    ],
)
def test_code_languages(name: str, start: str, language: str | None) -> None:
    assert code_language(name, start) == language


@pytest.mark.parametrize(
    ("name", "code", "labels"),
    [
        ("a.py", "x = 1\nclass A:\n    def b(self): ...\nasync def c(): ...\n", ["A", "b", "c"]),
        ("a.js", "export default class A {\n}\nfunction* b() {}\nlet c = 1\n", ["A", "b"]),
        ("a.java", "public final class A {\n  void b() {}\n}\n", ["A"]),
        ("a.rs", "pub(crate) fn a() {}\nimpl B {\n    fn c() {}\n}\n", ["a", "B", "c"]),
        ("a.go", "func (r *R) A(x int) {\n}\ntype B struct {\n", ["A", "B"]),
        (
            "a.c",
            "#include <x>\nstatic int a(int b)\n{\n  return b(1);\n}\nstruct c {\n",
            ["a", "c"],
        ),
        ("a.sql", "CREATE TABLE IF NOT EXISTS a (\n  b int);\n", ["a"]),
        ("a.sh", "a() {\n echo\n}\n", ["a"]),
        ("a.toml", "[a.b]\nx = 1\n", ["a.b"]),
        ("a.css", "a { b: c }\n", []),
    ],
)
def test_definitions_are_marked(name: str, code: str, labels: list[str]) -> None:
    document = CodeLoader().load(code.encode(), source=f"/x/{name}")
    assert document.text == code
    assert [mark.label for mark in document.marks] == labels
    assert document.meta["title"] == name
    assert document.meta["type"] == "code"


def test_json_marks_its_outermost_keys() -> None:
    text = ' {"title": "Bees", "a b": [1, {"c": "\\u00e9"}], "": 0, "n": null} '
    document = JsonLoader().load(text.encode(), source="a")
    assert document.text == text
    assert spans(document) == [
        ("heading", '"title"', 1),
        ("heading", '"a b"', 1),
        ("heading", '"n"', 1),
    ]
    assert document.meta == {"title": "Bees", "type": "json"}


def test_json_lines_and_arrays_have_no_marks() -> None:
    lines = JsonLoader().load(b'{"a": 1}\n{"a": 2}\n', source="a")
    assert (lines.marks, lines.meta) == ((), {"type": "jsonl"})
    assert JsonLoader().load(b"[1, 2]", source="a").marks == ()


@pytest.mark.parametrize("data", [b"{", b"text", b'{"a": 1}\n{"b'])
def test_what_is_no_json_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenDocument, match="no JSON"):
        JsonLoader().load(data, source="a")


@pytest.mark.parametrize("depth", [11, 100_000])
def test_json_has_a_depth(depth: int) -> None:
    data = b"[" * depth + b"]" * depth
    with pytest.raises(DocumentTooLarge, match="10 deep"):
        JsonLoader(limits=Limits(max_depth=10)).load(data, source="a")
    assert JsonLoader(limits=Limits(max_depth=10)).load(b"[" * 10 + b"]" * 10, source="a")


@pytest.mark.parametrize(
    ("data", "label", "kind"),
    [
        (b"a,b\n1,2\n", "a | b", "csv"),
        (b'"a;x";b\n1;2\n', "a;x | b", "csv"),
        (b"a\tb\n1\t2\n", "a | b", "tsv"),
        (b"a|b\n1|2\n", "a | b", "csv"),
        (b"\n\nalone\n1\n", "alone", "csv"),
    ],
)
def test_csv(data: bytes, label: str, kind: str) -> None:
    document = CsvLoader().load(data, source="a")
    (mark,) = document.marks
    assert document.text == data.decode()
    assert (mark.kind, mark.label, document.meta["type"]) == ("table", label, kind)
    assert document.text[mark.start : mark.end] == document.text.strip()


def test_xml() -> None:
    data = (
        '<?xml version="1.0" encoding="iso-8859-1"?><!-- no --><hive>\n<bee><name>Queen</name>'
        "<size unit='mm'>20 &amp; é</size></bee>"
        "<bee><x:name xmlns:x='y'>Drone</x:name></bee></hive>"
    ).encode("iso-8859-1")
    document = XmlLoader().load(data, source="a")
    assert document.text == "## Queen\nsize: 20 & é\n\n## Drone"
    assert [m.label for m in document.marks] == ["Queen", "Drone"]


@pytest.mark.parametrize("data", [b"<a>", b"<a><b></a>", b"text", b"<a>&unknown;</a>"])
def test_xml_that_is_not_well_formed_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenDocument):
        XmlLoader().load(data, source="a")


def test_xml_entities_are_not_expanded() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    with pytest.raises(BrokenDocument, match="entity 'b'"):
        XmlLoader().load(bomb, source="a")


def test_xml_has_a_depth() -> None:
    with pytest.raises(DocumentTooLarge, match="10 deep"):
        XmlLoader(limits=Limits(max_depth=10)).load(b"<a>" * 11 + b"x", source="a")
