from __future__ import annotations

import pytest

from ragstack.documents.sniff import sniff
from ragstack.errors import UnsupportedDocument
from ragstack.testing.samples import docx_bytes, mail_bytes, pdf_bytes, zip_bytes
from ragstack.types import READ_TEXT

PDF = pdf_bytes([[(50, 50, 10, "text")]])
WORD = docx_bytes([("", "text")])
HTML = b"<!DOCTYPE html>\n<html><body><p>text</p></body></html>"
MAIL = mail_bytes("Subject", "body")
PROSE = b"Bees make honey, wax, and noise.\nThey dance.\nQueens live long, drones do not.\n"


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (PDF, "a.txt", "pdf"),
        (b"\n" * 20 + PDF, "a", "pdf"),
        (WORD, "a.pdf", "office"),
        (rb"{\rtf1 text}", "a.doc", "office"),
        (HTML, "a.txt", "html"),
        (b"<!-- note -->\n<HTML><p>x</p>", "a", "html"),
        (b"<?xml version='1.0'?><html xmlns='x'><p>x</p></html>", "a.xml", "html"),
        (b"<p>one</p><p>two</p>", "a", "html"),
        (b"<p>one</p><p>two</p>", "a.html", "html"),
        (b"text <b>bold</b> text", "a.html", "html"),
        (b"no tag at all", "a.html", "text"),
        (b'<p align="center">logo</p>\n\n# Title\n', "README.md", "markdown"),
        (b"<!doctype html>\n# Title\n", "README.md", "markdown"),
        (b"<?xml version='1.0'?><a><b>x</b></a>", "a", "xml"),
        (b"<rss><item>x</item></rss>", "feed", "xml"),
        (b"<svg xmlns='x'><text>x</text></svg>", "a.svg", "xml"),
        (b"<- an arrow, and no markup", "a", "text"),
        (MAIL, "a", "mail"),
        (MAIL, "a.txt", "mail"),
        (b"From 12@xxx Wed Jul 16\nReceived: by x\nSubject: s\n\nbody", "a", "mail"),
        (b"Subject: s\n\nbody", "a.eml", "mail"),
        (b"Return-Path: a@b.example\nMIME-Version: 1.0\n\nWords.", "a.txt", "text"),
        (b"Subject: a memo\nTo: everyone\n\nIt is no mail.", "a.txt", "text"),
        (b'{"a": 1}', "a", "json"),
        (b'{"a": 1}', "a.txt", "json"),
        (b'{"a": 1}\n{"a": 2}\n', "a", "json"),
        (b'{"a": 1', "a.json", "text"),
        (b"[1] A footnote.\n", "a.txt", "text"),
        (b"[link](x) and more", "a.md", "markdown"),
        (b"# Title\n\n## More\n", "notes", "markdown"),
        (b"---\ntitle: x\n---\ntext\n", "notes", "markdown"),
        (b"# Title\n\n## More\n", "notes.txt", "text"),
        (b"a,b\n1,2\n3,4\n", "a", "csv"),
        (b"single\ncolumn\n", "a.csv", "csv"),
        (b"a;b\n1;2\n", "a.tsv", "csv"),
        (PROSE, "a", "text"),
        (PROSE, "a.unknown", "text"),
        (b"import os\n", "a.py", "code"),
        (b"#!/usr/bin/env bash\necho\n", "a", "code"),
        (b"<?php echo 1; ?>", "a", "code"),
        (b"FROM debian\n", "Dockerfile", "code"),
        ("été\n".encode("utf-16"), "a.txt", "text"),
        (b"MZ is a country code in this table\n", "a.txt", "text"),
        (b"BM\n", "a.txt", "text"),
        (b"", "a.md", "markdown"),
    ],
)
def test_the_content_decides(data: bytes, name: str, expected: str) -> None:
    assert sniff(data, name=name) == expected


def test_the_media_type_decides_for_an_address() -> None:
    data = b"plain | words\n"
    assert sniff(data, name="https://example.org/page.php", media_type="text/markdown") == (
        "markdown"
    )
    assert sniff(data, name="https://example.org/a", media_type="text/csv; charset=utf-8") == "csv"
    assert sniff(HTML, name="https://example.org/a.md?x=1", media_type="text/html") == "html"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x1f\x8b\x08" + bytes(20), "gzip data"),
        (b"MZ\x90\x00\x03" + bytes(20), "a program"),
        (b"RIFF1234WAVEfmt ", "WAV sound"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(9), "an MP4 film"),
        (b"PK\x05\x06" + bytes(18), "an empty or divided zip"),
        (bytes(range(256)) * 4, "binary"),
    ],
)
def test_what_no_loader_reads_is_named(data: bytes, said: str) -> None:
    with pytest.raises(UnsupportedDocument, match=said):
        sniff(data, name="file.txt")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(20), b"\xff\xd8\xff\xe0" + bytes(20), b"GIF89a" + bytes(20),
        b"BM" + bytes(20), b"II*\x00" + bytes(20), b"MM\x00*" + bytes(20), b"RIFF1234WEBPVP8 ",
    ],
)  # fmt: skip
def test_pictures_are_known(data: bytes) -> None:
    assert sniff(data, name="file.txt") == "image"


def test_two_letters_do_not_make_a_picture_of_a_text() -> None:
    assert sniff(b"BMW makes cars and motorcycles.", name="a") == "text"


def test_an_archive_hints_at_unpacking() -> None:
    with pytest.raises(UnsupportedDocument) as archive:
        sniff(b"\x1f\x8b" + bytes(20), name="a")
    assert "unpack" in archive.value.hint


def test_a_character_cut_by_the_sample_does_not_change_the_encoding() -> None:
    data = b"a" * ((1 << 16) - 1) + "é".encode() * 10
    assert sniff(data, name="a.txt") == "text"
    assert sniff(zip_bytes({"word/x": "y"}), name="a.txt") == "office"


@pytest.mark.parametrize("data", [b"<html><body>x</body></html>", b'{"a": 1}', b"%PDF-1.4", b"# x"])
def test_text_that_was_read_already_is_text(data: bytes) -> None:
    assert sniff(data, name="page.html", media_type=READ_TEXT) == "text"
