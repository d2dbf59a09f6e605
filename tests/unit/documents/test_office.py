from __future__ import annotations

import struct
import zipfile
from io import BytesIO

import pytest

from ragstack.documents.limits import Limits
from ragstack.documents.office import OfficeLoader
from ragstack.documents.structure import write_structure
from ragstack.documents.writer import TextWriter
from ragstack.documents.zips import Package
from ragstack.errors import (
    BrokenDocument,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    UnsupportedDocument,
)
from ragstack.testing.samples import docx_bytes, epub_bytes, pptx_bytes, xlsx_bytes, zip_bytes
from ragstack.types import Document


def load(data: bytes, limits: Limits | None = None) -> Document:
    return OfficeLoader(limits=limits).load(data, source="a.docx")


def test_word() -> None:
    blocks = [("Heading1", "Bees"), ("", "Bees make *honey* & wax."), ("Heading2", "Kinds")]
    document = load(docx_bytes(blocks, table=[["Kind", "Size"], ["Queen", "20"]], title="On bees",
                               author="Ada"))  # fmt: skip
    assert document.text == (
        "# Bees\n\nBees make *honey* & wax.\n\n## Kinds\n\n"
        "| Kind | Size |\n| --- | --- |\n| Queen | 20 |"
    )
    assert [(m.kind, m.label, m.level) for m in document.marks] == [
        ("heading", "Bees", 1),
        ("heading", "Kinds", 2),
        ("table", "Kind | Size", 0),
    ]
    assert document.meta == {
        "title": "On bees",
        "author": "Ada",
        "date": "2023-05-04T10:00:00+00:00",
        "type": "docx",
    }


def test_references_of_xml_are_not_lost() -> None:
    text = "R&D, a < b > c, \"quoted\" 'twice'"
    data = docx_bytes([("", text)], table=[["P&L", "<x>"], ["1", "2"]])
    assert load(data).text == f"{text}\n\n| P&L | <x> |\n| --- | --- |\n| 1 | 2 |"
    package = Package(data, limits=Limits(), source="a")
    part = package.read("word/document.xml").replace(b"R&amp;D", b"&#233;t&#xE9;&#x0;&quot;&#38;")
    changed = package.rewritten([("word/document.xml", part)])
    assert load(changed).text.startswith('été"&, a < b')


def test_slides_are_pages() -> None:
    document = load(pptx_bytes([("Bees", "Bees make honey."), ("Kinds", "Queen")]))
    pages = [(m.page, document.text[m.start : m.end]) for m in document.marks if m.kind == "page"]
    assert [number for number, _ in pages] == [1, 2]
    assert "Bees make honey." in pages[0][1]
    assert pages[1][1].endswith("Queen")
    assert "PAGE" not in document.text


def test_a_slide_with_a_damaged_picture_keeps_its_text() -> None:
    data = pptx_bytes([("Bees", "Bees make honey.")])
    package = Package(data, limits=Limits(), source="a")
    slide = package.read("ppt/slides/slide1.xml").decode()
    picture = '<p:pic><p:nvPicPr><p:cNvPr id="9" name="p"/></p:nvPicPr><p:spPr/></p:pic>'
    damaged = slide.replace("</p:spTree>", f"{picture}</p:spTree>").encode()
    document = load(package.rewritten([("ppt/slides/slide1.xml", damaged)]))
    assert "Bees make honey." in document.text


def test_sheets_are_pages_with_their_names() -> None:
    document = load(xlsx_bytes({"Bees": [["Kind", "Size"], ["Queen", "20"]], "Wax": [["kg"]]}))
    pages = [(m.page, m.label) for m in document.marks if m.kind == "page"]
    assert pages == [(1, "Bees"), (2, "Wax")]
    assert "| Queen | 20 |" in document.text


def test_sheets_have_a_limit() -> None:
    data = xlsx_bytes({f"s{i}": [["a"]] for i in range(3)})
    with pytest.raises(DocumentTooLarge, match="3 pages; the limit is 2"):
        load(data, Limits(max_pages=2))


def test_rich_text() -> None:
    document = load(rb"{\rtf1\ansi\ansicpg1252 Les abeilles d'\'e9t\'e9.\par}")
    assert document.text == "Les abeilles d'été."
    assert document.meta["type"] == "rtf"


def test_a_book_is_read_in_its_own_order() -> None:
    document = load(epub_bytes([("Two", "Second & last."), ("One", "First.")], title="Hive",
                               language="fr-FR"))  # fmt: skip
    assert document.text == "# Two\n\nSecond & last.\n\n# One\n\nFirst."
    assert document.meta == {"title": "Hive", "language": "fr", "type": "epub"}


def test_a_book_with_encrypted_chapters_is_refused() -> None:
    with zipfile.ZipFile(BytesIO(epub_bytes([("One", "First.")]))) as book:
        members = {name: book.read(name) for name in book.namelist()}
    reference = '<e><CipherReference URI="{}"/></e>'
    members["META-INF/encryption.xml"] = reference.format("fonts/a.otf").encode()
    assert load(zip_bytes(members)).text
    members["META-INF/encryption.xml"] = reference.format("OEBPS/c0.xhtml").encode()
    with pytest.raises(EncryptedDocument, match="DRM"):
        load(zip_bytes(members))


def ole(*streams: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "".join(streams).encode("utf-16-le")


def test_an_encrypted_office_document_asks_for_its_password() -> None:
    with pytest.raises(EncryptedDocument, match="password"):
        load(ole("EncryptionInfo", "EncryptedPackage"))


def test_an_encrypted_zip_asks_for_its_password() -> None:
    data = bytearray(docx_bytes([("", "x")]))
    central = data.rindex(b"PK\x01\x02")
    struct.pack_into("<H", data, central + 8, 1)
    with pytest.raises(EncryptedDocument, match="password"):
        load(bytes(data))


@pytest.mark.parametrize(
    "data", [ole("WordDocument"), ole("Workbook"), docx_bytes([("", "x")])[:-30]]
)
def test_damaged_ones_are_broken(data: bytes) -> None:
    with pytest.raises(BrokenDocument, match=r"a\.docx"):
        load(data)


@pytest.mark.parametrize("data", [zip_bytes({"a.txt": "x"}), ole("Contents"), b"text"])
def test_other_archives_are_not_office(data: bytes) -> None:
    with pytest.raises(UnsupportedDocument, match=r"a\.docx"):
        load(data)


def test_a_document_without_text_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        load(docx_bytes([("", " ")]))


def test_unpacking_has_limits() -> None:
    data = docx_bytes([("", "x" * 200_000)])
    with pytest.raises(DocumentTooLarge, match=r"unpacks to \d+,\d+ bytes; the limit is 1,000"):
        load(data, Limits(max_expanded_bytes=1000))
    bomb = zip_bytes({"word/document.xml": b"0" * 60_000_000})
    with pytest.raises(DocumentTooLarge, match="times its"):
        load(bomb)


def test_a_member_that_lies_about_its_size_is_broken() -> None:
    data = bytearray(zip_bytes({"word/document.xml": "0" * 5_000}))
    central = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, central + 24, 10)
    package = Package(bytes(data), limits=Limits(), source="a")
    try:
        assert len(package.read("word/document.xml")) <= 10
    except BrokenDocument as error:
        assert "word/document.xml" in error.message


def test_structure_writes_every_kind_of_node() -> None:
    nodes = [
        {"content": {"node_type": "title", "text": "T"}},
        {"content": {"node_type": "paragraph", "text": "head"}, "content_layer": "header"},
        {"content": {"node_type": "quote"}, "children": [3]},
        {"content": {"node_type": "paragraph", "text": "quoted"}, "parent": 2},
        {"content": {"node_type": "list", "ordered": True}, "children": [5, 6]},
        {"content": {"node_type": "list_item", "text": "one"}, "parent": 4},
        {"content": {"node_type": "list_item", "text": "two"}, "parent": 4},
        {"content": {"node_type": "code", "text": "x = 1"}},
        {"content": {"node_type": "formula", "text": "y = x"}},
        {"content": {"node_type": "image", "description": "A bee on a rose"}},
        {"content": {"node_type": "image", "description": "image1.png"}},
        {"content": {"node_type": "metadata_block", "entries": [["From", "Ada"]]}},
        {
            "content": {
                "node_type": "paragraph",
                "text": "**bold** [link](https://a.b) ![p](m/i.png)",
            }
        },
        {"content": {"node_type": "page_break"}},
    ]
    writer = TextWriter()
    write_structure(writer, nodes)
    text, _ = writer.finish()
    assert text == (
        "# T\n\n> quoted\n\n1. one\n2. two\n\n```\nx = 1\n```\n\n$$y = x$$\n\n[A bee on a rose]\n"
        "From: Ada\n\nbold link"
    )
