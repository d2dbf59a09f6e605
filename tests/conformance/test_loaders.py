from __future__ import annotations

from ragstack.documents.code import CodeLoader
from ragstack.documents.data import CsvLoader, JsonLoader
from ragstack.documents.html import HtmlLoader
from ragstack.documents.mail import MailLoader
from ragstack.documents.markdown import MarkdownLoader
from ragstack.documents.office import OfficeLoader
from ragstack.documents.pdf import PdfLoader
from ragstack.documents.text import TextLoader
from ragstack.documents.xml import XmlLoader
from ragstack.testing.loaders import LoaderSuite
from ragstack.testing.samples import (
    docx_bytes,
    epub_bytes,
    mail_bytes,
    pdf_bytes,
    pptx_bytes,
    xlsx_bytes,
)

_HTML = """<!doctype html><html lang="en-GB"><head><title>Bees</title>
<meta name="author" content="Ada"><meta name="date" content="2024-05-06"></head><body>
<nav>Home</nav><h1>Bees</h1><p>Bees make <b>honey</b>.</p><ul><li>One<ul><li>Two</li></ul></ul>
<h2>Kinds</h2><table><tr><th>Kind</th><th>Size</th></tr><tr><td>Queen</td><td>20 mm</td></tr>
</table><pre>x = 1\n  y</pre></body></html>"""

_MARKDOWN = """---
title: Les abeilles
author: Ada
date: 2024-05-06
---

# Les abeilles

Elles font du miel.

Sortes
------

| Sorte | Taille |
| --- | --- |
| Reine | 20 mm |

```python
# no heading
```
"""


class TestText(LoaderSuite):
    def make(self) -> TextLoader:
        return TextLoader()

    def sample(self) -> bytes:
        return "L'été, les abeilles.\r\nElles butinent.\n".encode("cp1252")


class TestMarkdown(LoaderSuite):
    def make(self) -> MarkdownLoader:
        return MarkdownLoader()

    def sample(self) -> bytes:
        return _MARKDOWN.encode()


class TestHtml(LoaderSuite):
    def make(self) -> HtmlLoader:
        return HtmlLoader()

    def sample(self) -> bytes:
        return _HTML.encode()


class TestXml(LoaderSuite):
    def make(self) -> XmlLoader:
        return XmlLoader()

    def sample(self) -> bytes:
        return b"<?xml version='1.0'?><hive><title>Bees</title><kind>Queen</kind></hive>"


class TestPdf(LoaderSuite):
    def make(self) -> PdfLoader:
        return PdfLoader()

    def sample(self) -> bytes:
        pages = [
            [(50, 50, 20, "Bees"), (50, 100, 10, "Bees make honey."), (50, 112, 10, "They dance.")],
            [(50, 50, 10, "A queen lives five years.")],
        ]
        info = {"Title": "On bees", "Author": "Ada", "CreationDate": "D:20240506070809+02'00'"}
        return pdf_bytes(pages, info=info, outline=[("Bees", 1)])


class TestWord(LoaderSuite):
    def make(self) -> OfficeLoader:
        return OfficeLoader()

    def sample(self) -> bytes:
        blocks = [("Heading1", "Bees"), ("", "Bees make honey."), ("Heading2", "Kinds")]
        table = [["Kind", "Size"], ["Queen", "20 mm"]]
        return docx_bytes(blocks, table=table, title="On bees", author="Ada")


class TestSlides(LoaderSuite):
    def make(self) -> OfficeLoader:
        return OfficeLoader()

    def sample(self) -> bytes:
        return pptx_bytes([("Bees", "Bees make honey."), ("Kinds", "Queen and drone")])


class TestSheets(LoaderSuite):
    def make(self) -> OfficeLoader:
        return OfficeLoader()

    def sample(self) -> bytes:
        return xlsx_bytes({"Bees": [["Kind", "Size"], ["Queen", "20"]], "Honey": [["kg"], ["7"]]})


class TestBook(LoaderSuite):
    def make(self) -> OfficeLoader:
        return OfficeLoader()

    def sample(self) -> bytes:
        return epub_bytes([("Bees", "Bees make honey."), ("Kinds", "Queen and drone")])


class TestMail(LoaderSuite):
    def make(self) -> MailLoader:
        return MailLoader()

    def sample(self) -> bytes:
        return mail_bytes("Bees", "Bees make honey.", html="<p>Bees</p>", attachment="hive.pdf")


class TestCode(LoaderSuite):
    def make(self) -> CodeLoader:
        return CodeLoader()

    def sample(self) -> bytes:
        return b"#!/usr/bin/env python3\nclass Bee:\n    def dance(self):\n        return 8\n"


class TestJson(LoaderSuite):
    def make(self) -> JsonLoader:
        return JsonLoader()

    def sample(self) -> bytes:
        return '{"title": "Bees", "kéy": [1, {"a": "b"}], "size": {"queen": 20}}'.encode()


class TestCsv(LoaderSuite):
    def make(self) -> CsvLoader:
        return CsvLoader()

    def sample(self) -> bytes:
        return b"kind;size\nqueen;20\ndrone;16\n"
