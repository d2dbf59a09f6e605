"""Whatever happens to a document's bytes, a Document comes out or a DocumentError does.

Loaders of native code run in a worker, as they do for users: what crashes one costs a document,
and here it would cost the run.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragstack.documents.limits import Limits
from ragstack.documents.worker import LoaderWorker
from ragstack.errors import DocumentError, DocumentTooLarge
from ragstack.testing.samples import (
    docx_bytes,
    epub_bytes,
    mail_bytes,
    pdf_bytes,
    pptx_bytes,
    xlsx_bytes,
    zip_bytes,
)
from ragstack.types import Document, Source

LINES = [(60.0, 80.0 + 14 * i, 10.0, f"Line {i} of bees    {i * 7}    honey") for i in range(6)]
HTML = (
    "<html lang=en><title>Bees</title><body><h1>Bees</h1><table><tr><th>a<th>b<tr><td rowspan=2>c"
    "<td>d<tr><td>e</table><ul><li>one<li>two<ul><li>three</ul></ul><pre>x\n y</pre>&eacute;</body>"
)
SAMPLES = {
    "pdf": pdf_bytes([LINES, LINES], outline=(("Line 1", 1),), rules=((50, 70, 300, 70),)),
    "docx": docx_bytes([("Heading1", "Bees"), ("", "Honey.")], table=[["a", "b"], ["c", "d"]]),
    "xlsx": xlsx_bytes({"One": [["a", "b"], ["1", "2"], [], ["c", "d"]]}),
    "pptx": pptx_bytes([("Bees", "Honey"), ("Wax", "Light")]),
    "epub": epub_bytes([("One", "Bees."), ("Two", "Honey.")]),
    "eml": mail_bytes("Bees", "Honey.", html="<p>Honey</p>", attachment="a.pdf"),
    "html": HTML.encode(),
    "xml": b"<?xml version='1.0'?><hive><queen age='1'>Ada</queen><note>B&amp;C</note></hive>",
    "json": b'{"title": "Bees", "rows": [{"a": 1, "b": [true, null]}, {"a": 2.5e3}]}',
    "csv": b"kind;size\nqueen;20\n\"work;er\";12\n",
    "md": b"---\ntitle: Bees\n---\n# One\n\n| a | b |\n|---|---|\n| c | d |\n\n```py\nx\n```\n",
    "txt": "L'\u00e9t\u00e9 des abeilles, \u00e0 No\u00ebl.\n".encode("utf-16"),
    "py": b"class Bee:\n    def fly(self):\n        return 1\n",
    "rtf": b"{\\rtf1\\ansi {\\b Bees} make honey.\\par \\'e9t\\'e9}",
}  # fmt: skip
PIECES = (
    b"", b"\0", b"\xff" * 9, b"<" * 40, b"<div>" * 40, b"(" * 200, b"[" * 300, b"<<>>", b"%%EOF",
    b"PK\x03\x04", b"99999999999", b"-1", b"\r\n\r\n", b"&#x110000;", b"\xed\xa0\x80",
)  # fmt: skip
LOADERS = (
    "csv", "code", "html", "json", "mail", "markdown", "office", "pdf", "text", "xml"
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """What happens to bytes: at a place, some or all are left out and others put in."""

    place: float
    drop: int
    put: bytes
    cut: bool


changes = st.builds(
    Change,
    place=st.floats(0, 1, exclude_max=True),
    drop=st.integers(0, 60),
    put=st.one_of(st.sampled_from(PIECES), st.binary(max_size=12)),
    cut=st.sampled_from([False] * 7 + [True]),
)


@pytest.fixture(scope="module")
def worker() -> Iterator[LoaderWorker]:
    limits = Limits(max_seconds=60, max_expanded_bytes=50_000_000, max_pages=500)
    with LoaderWorker(limits=limits) as worker:
        yield worker


def changed(data: bytes, steps: list[Change]) -> bytes:
    for step in steps:
        at = int(step.place * (len(data) + 1))
        data = data[:at] + step.put + (b"" if step.cut else data[at + step.drop :])
    return data


def check(worker: LoaderWorker, name: str, data: bytes, loader: str = "") -> None:
    try:
        document = worker.load(Source(name, data), loader=loader)
    except DocumentError as error:
        assert error.message
        return
    assert isinstance(document, Document)
    assert document.text.strip()
    document.text.encode()
    for mark in document.marks:
        assert 0 <= mark.start < mark.end <= len(document.text)


@pytest.mark.parametrize("kind", sorted(SAMPLES))
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(changes, min_size=1, max_size=6))
def test_changed_bytes(worker: LoaderWorker, kind: str, steps: list[Change]) -> None:
    check(worker, f"a.{kind}", changed(SAMPLES[kind], steps))


@pytest.mark.parametrize("loader", LOADERS)
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_any_bytes_in_any_loader(worker: LoaderWorker, loader: str, data: bytes) -> None:
    check(worker, "a", data, loader)


@pytest.mark.parametrize("member", ["word/document.xml", "word/styles.xml", "docProps/core.xml"])
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(changes, min_size=1, max_size=4))
def test_changed_parts_of_a_package(worker: LoaderWorker, member: str, steps: list[Change]) -> None:
    with zipfile.ZipFile(io.BytesIO(SAMPLES["docx"])) as package:
        members = {name: package.read(name) for name in package.namelist()}
    members[member] = changed(members[member], steps)
    check(worker, "a.docx", zip_bytes(members))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deep.html", b"<div>" * 200_000),
        ("deep.xml", b"<a>" * 100_000 + b"</a>" * 100_000),
        ("deep.json", b"[" * 200_000 + b"]" * 200_000),
        ("deep.docx", docx_bytes([("", "a")], body="<w:tbl><w:tr><w:tc>" * 3000
                                 + "</w:tc></w:tr></w:tbl>" * 3000)),
        ("deep.eml", b"From: a@b\nSubject: s\nContent-Type: message/rfc822\n\n" * 3000),
        ("parts.eml", b"From: a@b\nSubject: s\nContent-Type: multipart/mixed; boundary=x\n\n"
                      + b"--x\nContent-Type: text/plain\n\na\n" * 2_000),
        ("ratio.docx", zip_bytes({"word/document.xml": b"<a>" + bytes(60_000_000)})),
        ("self.zip", zip_bytes({"a.zip": zip_bytes({"b.zip": zip_bytes({"c": b"c" * 1000})})})),
    ],
)  # fmt: skip
def test_depth_and_size(worker: LoaderWorker, name: str, data: bytes) -> None:
    check(worker, name, data)


def test_pages_have_a_limit() -> None:
    with LoaderWorker(limits=Limits(max_pages=1)) as worker, pytest.raises(DocumentTooLarge):
        worker.load(Source("a.pdf", SAMPLES["pdf"]))
