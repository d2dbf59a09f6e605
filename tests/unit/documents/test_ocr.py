"""Pictures and scanned pages: what is read has its place, what is not read is said."""

from __future__ import annotations

import importlib.util
import struct
import time
import zlib
from io import BytesIO

import numpy as np
import pypdfium2
import pytest

from ragstack.documents import ocr
from ragstack.documents.dispatch import load_document
from ragstack.documents.limits import Limits
from ragstack.documents.ocr import Pixels, Seen, find_reader
from ragstack.documents.pdf import PdfLoader
from ragstack.documents.scan import Scanner
from ragstack.errors import (
    BrokenDocument,
    DocumentTooLarge,
    EmptyDocument,
    UnsupportedDocument,
)
from ragstack.testing.samples import PdfLine, pdf_bytes
from ragstack.types import Document, Source

TYPED: list[PdfLine] = [
    (60.0, 100.0, 12.0, "A page that has its text as letters, not as a picture")
]
SHOWN: list[PdfLine] = [
    (60.0, 100.0, 14.0, "The bees of this valley make honey."),
    (60.0, 160.0, 14.0, "L'\u00e9t\u00e9, les \u00e9l\u00e8ves vont \u00e0 la for\u00eat."),
]
needs_ocr = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="the extra ocr is not installed"
)
needs_pillow = pytest.mark.skipif(
    importlib.util.find_spec("PIL") is None, reason="the extra ocr is not installed"
)


class Reader:
    """Sees the same lines in every picture, at places relative to its size."""

    def __init__(self, *texts: str, seconds: float = 0.0) -> None:
        self.texts = texts or ("Bees make hon-", "ey in summer.")
        self.seconds = seconds
        self.shapes: list[tuple[int, ...]] = []

    def read(self, pixels: Pixels) -> list[Seen]:
        time.sleep(self.seconds)
        height, width, _ = pixels.shape
        self.shapes.append(pixels.shape)
        return [
            Seen(text, 0.1 * width, (0.1 + 0.02 * i) * height, 0.8 * width,
                 (0.118 + 0.02 * i) * height)
            for i, text in enumerate(self.texts)
        ]  # fmt: skip


class Blind:
    def read(self, pixels: Pixels) -> list[Seen]:
        raise BrokenDocument("the text of a picture could not be read: too dark")


def picture(lines: list[PdfLine], scale: float = 2.0) -> Pixels:
    with pypdfium2.PdfDocument(pdf_bytes([lines])) as pdf:
        page = pdf[0]
        bitmap = page.render(scale=scale)
        pixels = bitmap.to_numpy().copy()
        bitmap.close()
        page.close()
    return pixels


def scanned(*pages: list[PdfLine] | None) -> bytes:
    """A PDF whose pages show pictures of lines; None is a page of letters."""
    pdf = pypdfium2.PdfDocument.new()
    for lines in pages:
        if lines is None:
            with pypdfium2.PdfDocument(pdf_bytes([TYPED])) as typed:
                pdf.import_pages(typed)
            continue
        with pypdfium2.PdfDocument(pdf_bytes([lines])) as source:
            shown = source[0]
            bitmap = shown.render(scale=2)
            page = pdf.new_page(600, 800)
            image = pypdfium2.PdfImage.new(pdf)
            image.set_bitmap(bitmap)
            image.set_matrix(pypdfium2.PdfMatrix().scale(600, 800))
            page.insert_obj(image)
            page.gen_content()
            bitmap.close()
            shown.close()
            page.close()
    out = BytesIO()
    pdf.save(out)
    pdf.close()
    return out.getvalue()


def png(pixels: Pixels) -> bytes:
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row[:, ::-1].tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def load(data: bytes, reader: ocr.TextReader, limits: Limits | None = None) -> Document:
    return PdfLoader(reader=reader, limits=limits).load(data, source="a.pdf")


def test_a_scanned_page_is_read_with_its_page_and_place() -> None:
    document = load(scanned(None, SHOWN), Reader())
    assert document.text == f"{TYPED[0][3]}\n\nBees make honey in summer."
    figure = next(mark for mark in document.marks if mark.kind == "figure")
    assert document.text[figure.start : figure.end] == "Bees make honey in summer."
    assert figure.page == 2
    assert figure.box == pytest.approx((60.0, 80.0, 480.0, 110.4), abs=0.5)
    assert "unread" not in document.meta


def test_pages_with_letters_and_empty_ones_are_not_read_as_pictures() -> None:
    reader = Reader()
    load(pdf_bytes([TYPED, []]), reader)
    assert reader.shapes == []


def test_a_page_number_below_a_picture_does_not_hide_it() -> None:
    data = scanned(SHOWN)
    pdf = pypdfium2.PdfDocument(data)
    pdf.close()
    document = load(data, Reader("Read from the picture of the page"))
    assert document.text == "Read from the picture of the page"


def test_pages_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "_PACKAGE", "no_such_package")
    document = load_document(Source("a.pdf", scanned(None, SHOWN, SHOWN)))
    assert document.text == TYPED[0][3]
    assert document.meta["unread"] == (
        'pages 2-3: it has no text layer; pip install "ragstack[ocr]" reads its picture'
    )
    with pytest.raises(EmptyDocument, match=r"have no text \(page 1: .*ragstack\[ocr\]"):
        load_document(Source("a.pdf", scanned(SHOWN)))


def test_a_picture_that_breaks_the_reader_costs_its_page() -> None:
    document = load(scanned(None, SHOWN), Blind())
    assert document.text == TYPED[0][3]
    assert "too dark" in str(document.meta["unread"])


def test_reading_pictures_ends_in_time() -> None:
    data = scanned(SHOWN, SHOWN, SHOWN)
    document = load(data, Reader(seconds=0.3), Limits(max_seconds=0.2))
    assert document.text == "Bees make honey in summer."
    assert document.meta["unread"] == (
        "pages 2-3: reading pictures took more than 0.16 seconds; raise max_seconds"
    )


def test_a_page_is_drawn_within_the_limit_of_pixels() -> None:
    reader = Reader()
    load(scanned(SHOWN), reader, Limits(max_pixels=100_000))
    height, width, channels = reader.shapes[0]
    assert height * width <= 101_000
    assert channels == 3


def test_what_was_not_read_is_said_once_for_each_reason() -> None:
    scanner = Scanner(Reader(), seconds=10)
    for number in (5, 1, 2, 3, 9):
        scanner.miss(number, "it is dark")
    scanner.miss(4, "it is torn")
    assert scanner.unread == "pages 1-3, 5, 9: it is dark. page 4: it is torn"


def test_lines_of_one_font_have_one_size() -> None:
    scanner = Scanner(Reader("xxx", "Xyg", "aaa"), seconds=10)
    lines = scanner.lines(np.zeros((1000, 1000, 3), np.uint8), 1, scale=2.0)
    assert len({line.size for line in lines}) == 1
    assert all(line.seen for line in lines)
    assert lines[0].x0 == 50.0


def test_a_picture_without_the_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ocr, "_PACKAGE", "no_such_package")
    with pytest.raises(UnsupportedDocument) as caught:
        load_document(Source("a.png", png(picture(SHOWN))))
    assert "ragstack[ocr]" in str(caught.value)


@needs_pillow
def test_a_picture_is_a_document_of_one_page() -> None:
    from ragstack.documents.image import ImageLoader

    data = png(picture(SHOWN))
    document = ImageLoader(reader=Reader()).load(data, source="a.png")
    assert document.text == "Bees make honey in summer."
    assert document.meta["type"] == "image"
    figure = next(mark for mark in document.marks if mark.kind == "figure")
    assert figure.page == 1
    assert figure.box == pytest.approx((120.0, 160.0, 960.0, 220.8), abs=0.5)


@needs_pillow
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "BMP", "GIF", "PNG"])
def test_kinds_of_pictures(kind: str) -> None:
    from PIL import Image

    from ragstack.documents.image import ImageLoader

    frames = [Image.fromarray(picture(SHOWN, 0.5)) for _ in range(2)]
    out = BytesIO()
    more = {"save_all": True, "append_images": frames[1:]} if kind == "TIFF" else {}
    frames[0].save(out, kind, **more)
    document = ImageLoader(reader=Reader()).load(out.getvalue(), source="a")
    pages = [mark.page for mark in document.marks if mark.kind == "page"]
    assert pages == ([1, 2] if kind == "TIFF" else [1])


@needs_pillow
def test_pictures_have_limits() -> None:
    from ragstack.documents.image import ImageLoader

    data = png(picture(SHOWN))
    with pytest.raises(DocumentTooLarge, match="1,920,000 pixels on page 1"):
        ImageLoader(reader=Reader(), limits=Limits(max_pixels=1000)).load(data, source="a")
    with pytest.raises(EmptyDocument, match="no text was found"):
        ImageLoader(reader=Reader(" ")).load(data, source="a")
    for broken in (data[:40], b"\x89PNG" + bytes(20), data.replace(b"IDAT", b"IDAX")):
        with pytest.raises(BrokenDocument):
            ImageLoader(reader=Reader()).load(broken, source="a")


@needs_ocr
def test_the_real_reader_reads_a_scan_with_its_accents() -> None:
    reader = find_reader()
    assert reader is not None
    document = load(scanned(SHOWN), reader)
    assert document.text == " ".join(line[3] for line in SHOWN)
    figure = next(mark for mark in document.marks if mark.kind == "figure")
    assert figure.box is not None
    assert figure.box[:2] == pytest.approx((60.0, 100.0), abs=10)
