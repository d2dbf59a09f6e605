"""Texts in, small valid files of many formats out, made by hand: for tests of loaders.

Nothing here is a general writer of these formats.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = [
    "docx_bytes",
    "epub_bytes",
    "mail_bytes",
    "pdf_bytes",
    "png_bytes",
    "pptx_bytes",
    "xlsx_bytes",
    "zip_bytes",
]

PdfLine = tuple[float, float, float, str]
"""x and y from the top left in points, font size, text."""

_HEIGHT = 800
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_OPEN = "http://schemas.openxmlformats.org"
_WORD = f'xmlns:w="{_OPEN}/wordprocessingml/2006/main"'
_TYPE = "application/vnd.openxmlformats-officedocument."
_OFFICE_DOCUMENT = f"{_OPEN}/officeDocument/2006/relationships/officeDocument"


def pdf_bytes(
    pages: Sequence[Sequence[PdfLine]],
    *,
    info: Mapping[str, str] | None = None,
    outline: Sequence[tuple[str, int]] = (),
    rules: Sequence[tuple[float, float, float, float]] = (),
    encrypted: bool = False,
) -> bytes:
    """Return a PDF in Helvetica, each line where it is told to stand.

    Args:
        info: Entries of the document information: ``Title``, ``Author``, ``CreationDate``.
        outline: Bookmarks, as title and page number from 1.
        rules: Lines drawn on every page, from x and y to x and y, from the top left in points.
        encrypted: Ask for a password that does not exist.
    """
    count = len(pages)
    first_mark = 4 + 2 * count
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(count))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R{f' /Outlines {first_mark} 0 R' if outline else ''} >>",
        f"<< /Type /Pages /Count {count} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, lines in enumerate(pages):
        stream = "\n".join(
            f"BT /F1 {size} Tf {x} {_HEIGHT - y - size} Td ({_pdf_text(text)}) Tj ET"
            for x, y, size, text in lines
        ) + "".join(f"\n{x0} {_HEIGHT - y0} m {x1} {_HEIGHT - y1} l S" for x0, y0, x1, y1 in rules)
        length = len(stream.encode("cp1252", "replace"))
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 {_HEIGHT}] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {length} >>\nstream\n{stream}\nendstream")
    if outline:
        objects += _outline(outline, first_mark)
    trailer = ""
    if info:
        entries = " ".join(f"/{key} ({_pdf_text(value)})" for key, value in info.items())
        objects.append(f"<< {entries} >>")
        trailer += f" /Info {len(objects)} 0 R"
    if encrypted:
        key = "<" + "00" * 32 + ">"
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -4 >>")
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    return _pdf_file(objects, trailer)


def docx_bytes(
    blocks: Sequence[tuple[str, str]],
    *,
    table: Sequence[Sequence[str]] = (),
    body: str = "",
    title: str = "",
    author: str = "",
) -> bytes:
    """Return a Word document of (style, text) paragraphs, style ``""`` or ``Heading1`` ….

    Args:
        body: WordprocessingML written behind them as it is.
    """
    written = "".join(
        f"<w:p>{f'<w:pPr><w:pStyle w:val={chr(34)}{style}{chr(34)}/></w:pPr>' if style else ''}"
        f'<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'
        for style, text in blocks
    )
    if table:
        rows = "".join(
            "<w:tr>"
            + "".join(
                f"<w:tc><w:p><w:r><w:t>{escape(cell)}</w:t></w:r></w:p></w:tc>" for cell in row
            )
            + "</w:tr>"
            for row in table
        )
        written += f"<w:tbl>{rows}</w:tbl>"
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{i}">'
        f'<w:name w:val="heading {i}"/>'
        f'<w:pPr><w:outlineLvl w:val="{i - 1}"/></w:pPr></w:style>'
        for i in range(1, 4)
    )
    return zip_bytes(
        {
            "[Content_Types].xml": _content_types(
                "wordprocessingml.document.main", "/word/document.xml"
            ),
            "_rels/.rels": _relations([("rId1", _OFFICE_DOCUMENT, "word/document.xml")]),
            "word/document.xml": (
                f"{_XML}<w:document {_WORD}><w:body>{written}{body}</w:body></w:document>"
            ),
            "word/styles.xml": f"{_XML}<w:styles {_WORD}>{styles}</w:styles>",
            "docProps/core.xml": _core(title, author),
        }
    )


def pptx_bytes(slides: Sequence[tuple[str, str]]) -> bytes:
    """Return a presentation of (title, text) slides."""
    names = [f"slides/slide{i}.xml" for i in range(1, len(slides) + 1)]
    space = (
        f'xmlns:p="{_OPEN}/presentationml/2006/main" xmlns:a="{_OPEN}/drawingml/2006/main" '
        f'xmlns:r="{_OPEN}/officeDocument/2006/relationships"'
    )
    ids = "".join(f'<p:sldId id="{256 + i}" r:id="rId{i + 1}"/>' for i in range(len(slides)))
    slide = f"{_OPEN}/officeDocument/2006/relationships/slide"
    members = {
        "[Content_Types].xml": _content_types(
            "presentationml.presentation.main",
            "/ppt/presentation.xml",
            [("presentationml.slide", f"/ppt/{name}") for name in names],
        ),
        "_rels/.rels": _relations([("rId1", _OFFICE_DOCUMENT, "ppt/presentation.xml")]),
        "ppt/presentation.xml": (
            f"{_XML}<p:presentation {space}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
        ),
        "ppt/_rels/presentation.xml.rels": _relations(
            [(f"rId{i + 1}", slide, name) for i, name in enumerate(names)]
        ),
    }
    for name, (title, text) in zip(names, slides, strict=True):
        shapes = _shape(title, "title") + _shape(text, "body")
        members[f"ppt/{name}"] = (
            f"{_XML}<p:sld {space}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
        )
    return zip_bytes(members)


def xlsx_bytes(sheets: Mapping[str, Sequence[Sequence[str]]]) -> bytes:
    """Return a workbook of named sheets of text cells."""
    space = f'xmlns="{_OPEN}/spreadsheetml/2006/main"'
    sheet = f"{_OPEN}/officeDocument/2006/relationships/worksheet"
    names = [f"worksheets/sheet{i}.xml" for i in range(1, len(sheets) + 1)]
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{i}" r:id="rId{i}"/>'
        for i, name in enumerate(sheets, start=1)
    )
    members = {
        "[Content_Types].xml": _content_types(
            "spreadsheetml.sheet.main",
            "/xl/workbook.xml",
            [("spreadsheetml.worksheet", f"/xl/{name}") for name in names],
        ),
        "_rels/.rels": _relations([("rId1", _OFFICE_DOCUMENT, "xl/workbook.xml")]),
        "xl/workbook.xml": (
            f'{_XML}<workbook {space} xmlns:r="{_OPEN}/officeDocument/2006/relationships">'
            f"<sheets>{listed}</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": _relations(
            [(f"rId{i}", sheet, name) for i, name in enumerate(names, start=1)]
        ),
    }
    for name, rows in zip(names, sheets.values(), strict=True):
        written = "".join(
            f'<row r="{r}">'
            + "".join(
                f'<c r="{chr(65 + c)}{r}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
                for c, cell in enumerate(row)
            )
            + "</row>"
            for r, row in enumerate(rows, start=1)
        )
        members[f"xl/{name}"] = (
            f"{_XML}<worksheet {space}><sheetData>{written}</sheetData></worksheet>"
        )
    return zip_bytes(members)


def epub_bytes(
    chapters: Sequence[tuple[str, str]], *, title: str = "A book", language: str = "en"
) -> bytes:
    """Return a book of (heading, paragraph) chapters."""
    items = "".join(
        f'<item id="c{i}" href="c{i}.xhtml" media-type="application/xhtml+xml"/>'
        for i in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
        ),
        "OEBPS/content.opf": (
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
            'xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f"<dc:title>{escape(title)}</dc:title><dc:language>{language}</dc:language></metadata>"
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
        ),
    }
    for i, (heading, text) in enumerate(chapters):
        members[f"OEBPS/c{i}.xhtml"] = (
            '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>-</title></head>'
            f"<body><h1>{escape(heading)}</h1><p>{escape(text)}</p></body></html>"
        )
    return zip_bytes(members)


def mail_bytes(subject: str, body: str, *, html: str = "", attachment: str = "") -> bytes:
    """Return a mail with a plain body, an HTML one beside it and something attached."""
    heads = (
        "From: Ada <ada@example.org>\r\nTo: Bob <bob@example.org>\r\n"
        f"Date: Tue, 01 Oct 2024 12:34:56 +0200\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    )
    parts = [("text/plain", body, "")] if body else []
    parts += [("text/html", html, "")] if html else []
    parts += [("application/pdf", "none", attachment)] if attachment else []
    written = "".join(
        f"--edge\r\nContent-Type: {kind}; charset=utf-8\r\n"
        + (f'Content-Disposition: attachment; filename="{name}"\r\n' if name else "")
        + f"\r\n{text}\r\n"
        for kind, text, name in parts
    )
    kind = "mixed" if attachment else "alternative"
    return (
        f"{heads}Content-Type: multipart/{kind}; boundary=edge\r\n\r\n{written}--edge--\r\n"
    ).encode()


def png_bytes(pixels: Sequence[Sequence[tuple[int, int, int]]]) -> bytes:
    """Return a PNG of rows of pixels: red, green and blue, 0 to 255."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in pixels)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def zip_bytes(members: Mapping[str, str | bytes]) -> bytes:
    """Return a zip, the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            target.writestr(info, content)
    return out.getvalue()


def _pdf_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _outline(outline: Sequence[tuple[str, int]], first: int) -> list[str]:
    last = first + len(outline)
    objects = [f"<< /Type /Outlines /First {first + 1} 0 R /Last {last} 0 R >>"]
    for i, (title, page) in enumerate(outline, start=first + 1):
        following = f" /Next {i + 1} 0 R" if i < last else ""
        objects.append(
            f"<< /Title ({_pdf_text(title)}) /Parent {first} 0 R{following} "
            f"/Dest [{2 + 2 * page} 0 R /Fit] >>"
        )
    return objects


def _pdf_file(objects: Sequence[str], trailer: str) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252", "replace")
    start = len(out)
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R{trailer} >>\n".encode()
    out += f"startxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def _content_types(main: str, part: str, more: Sequence[tuple[str, str]] = ()) -> str:
    overrides = "".join(
        f'<Override PartName="{name}" ContentType="{_TYPE}{kind}+xml"/>'
        for kind, name in [(main, part), *more]
    )
    return (
        f'{_XML}<Types xmlns="{_OPEN}/package/2006/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
    )


def _relations(targets: Sequence[tuple[str, str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="{name}" Type="{kind}" Target="{target}"/>'
        for name, kind, target in targets
    )
    return (
        f'{_XML}<Relationships xmlns="{_OPEN}/package/2006/relationships">{listed}</Relationships>'
    )


def _core(title: str, author: str) -> str:
    return (
        f'{_XML}<cp:coreProperties xmlns:cp="{_OPEN}/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
        f"<dc:title>{escape(title)}</dc:title><dc:creator>{escape(author)}</dc:creator>"
        "<dcterms:created>2023-05-04T10:00:00Z</dcterms:created></cp:coreProperties>"
    )


def _shape(text: str, kind: str) -> str:
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="{kind}"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/>'
        f"</p:nvPr></p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{escape(text)}</a:t>"
        "</a:r></a:p></p:txBody></p:sp>"
    )
