"""Bytes, a name and a media type in, the name of the loader that reads them out.

Content decides; the name and the media type only between readings that the content allows.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ragstack.documents.code import code_language
from ragstack.documents.data import delimiter_of, is_json, is_json_lines
from ragstack.documents.decode import decode, head
from ragstack.documents.ole import OLE_MAGIC
from ragstack.errors import UnsupportedDocument
from ragstack.types import READ_TEXT

__all__ = ["sniff"]

_HEAD = 1 << 16
_BINARY = (
    (b"\x1f\x8b", "gzip data"), (b"BZh", "bzip2 data"), (b"\xfd7zXZ", "xz data"),
    (b"7z\xbc\xaf", "a 7z archive"), (b"Rar!", "a RAR archive"), (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"), (b"SQLite format 3\x00", "an SQLite database"),
    (b"ID3", "MP3 sound"), (b"OggS", "Ogg sound"), (b"fLaC", "FLAC sound"), (b"GGUF", "a model"),
    (b"\x1a\x45\xdf\xa3", "a Matroska film"), (b"PAR1", "Parquet data"), (b"\x00asm", "a program"),
)  # fmt: skip
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_IMAGE_HINT = "save it as PNG or JPEG"
_RIFF = {b"WAVE": "WAV sound", b"AVI ": "an AVI film"}
_ARCHIVE_HINT = "unpack it and ingest what is in it"
_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_FRAGMENT = re.compile(
    r"<(?:p|div|span|table|ul|ol|h[1-6]|br|a|section|article|center|font|b|i|img)\b[^<>]*>",
    re.IGNORECASE,
)
_XML = re.compile(
    r"\s*(?:<\?xml\b|<!DOCTYPE\s+(?!html)\w|<(\w[\w:.-]*)(?:\s[^<>]*)?>)", re.IGNORECASE
)
_MAIL_HEAD = re.compile(r"[!-9;-~]+:(?:[ \t]|\r?$)")
_MAIL_NAMES = frozenset(
    [
        "from", "to", "cc", "date", "subject", "received", "message-id", "mime-version",
        "content-type", "return-path", "delivered-to", "reply-to", "in-reply-to", "sender",
    ]
)  # fmt: skip
_MAIL_SURE = frozenset(["from", "received", "message-id", "mime-version", "return-path"])
_MARKDOWN = re.compile(
    r"^(?:#{1,6} \S|```|\|(?: ?:?-+:? ?\|)+\s*$|\[[^\]\n]+\]: \S)|\]\(https?://", re.MULTILINE
)
_FRONT_MATTER = re.compile(r"---\r?\n[\w-]+:[^\n]*\n(?:.*?\n)?---\r?\n", re.DOTALL)
_MARKDOWN_SUFFIXES = frozenset(["md", "markdown", "mdown", "mkd", "mdx", "qmd", "rmd"])
_TABLE_SUFFIXES = frozenset(["csv", "tsv", "tab"])
_HTML_SUFFIXES = frozenset(["html", "htm", "xhtml", "shtml"])
_PLAIN_SUFFIXES = frozenset(["txt", "text", "log", "rst", "adoc", "asciidoc", "tex", "srt", "vtt"])
_MEDIA_SUFFIXES = {
    "text/html": "html", "application/xhtml+xml": "xhtml", "text/markdown": "md",
    "text/csv": "csv", "text/tab-separated-values": "tsv", "application/json": "json",
    "application/xml": "xml", "text/xml": "xml", "message/rfc822": "eml",
}  # fmt: skip


def sniff(data: bytes, *, name: str, media_type: str = "") -> str:
    """Return the name of the loader for these bytes.

    Args:
        name: The source's address; only its suffix is looked at.
        media_type: What the place says it is; looked at where the name has no suffix.

    Raises:
        UnsupportedDocument: No loader reads such bytes; says what they look like.
    """
    if media_type == READ_TEXT:
        return "text"
    binary = _binary(data, name)
    if binary:
        return binary
    text = decode(head(data, _HEAD), source=name)
    whole = len(data) <= _HEAD
    suffix = _suffix(name, media_type)
    # The suffix of an address names what runs there (.php), not what it sends.
    named = f"page.{suffix}" if "://" in name and suffix else name
    return _text(text, data, whole, named, suffix)


def _binary(data: bytes, name: str) -> str:
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith((b"PK\x03\x04", OLE_MAGIC)) or data.lstrip()[:5] == b"{\\rtf":
        return "office"
    if data.startswith((b"PK\x05\x06", b"PK\x07\x08")):
        raise UnsupportedDocument(f"{name!r} is an empty or divided zip archive")
    if _is_image(data):
        return "image"
    said = next((what for magic, what in _BINARY if data.startswith(magic)), "")
    if data.startswith(b"RIFF"):
        said = _RIFF.get(data[8:12], "")
    if data[4:8] == b"ftyp":
        said = "an MP4 film or a HEIC image"
    # Two letters of a magic may begin a text as well: text has no zeros among its first bytes.
    if said and not (len(data) > 2 and data[:2] == b"MZ" and b"\x00" not in data[:64]):
        hint = _IMAGE_HINT if "image" in said else _ARCHIVE_HINT if _packed(said) else ""
        raise UnsupportedDocument(f"{name!r} is {said}, which no loader reads", hint=hint)
    return ""


def _is_image(data: bytes) -> bool:
    if data.startswith(b"RIFF"):
        return data[8:12] == b"WEBP"
    if data.startswith(b"BM"):
        return b"\x00" in data[:64]
    return data.startswith(_IMAGES)


def _packed(said: str) -> bool:
    return said.endswith(("archive", "zip data", "zip2 data", "xz data", "zstd data"))


def _text(text: str, data: bytes, whole: bool, name: str, suffix: str) -> str:
    language = code_language(name, text[:200])
    if _PAGE.match(text[:8192]):
        return "html" if suffix not in _MARKDOWN_SUFFIXES else "markdown"
    if language and not text.lstrip().startswith("<html"):
        return "code"
    if _is_mail(text, suffix):
        return "mail"
    if suffix not in _MARKDOWN_SUFFIXES and text.lstrip()[:1] in ("{", "["):
        full = text if whole else decode(data, source=name)
        if is_json(full) or is_json_lines(full):
            return "json"
    if suffix in _MARKDOWN_SUFFIXES:
        return "markdown"
    markup = _markup(text, suffix)
    if markup:
        return markup
    return _plain(text, suffix)


def _markup(text: str, suffix: str) -> str:
    if not text.lstrip().startswith("<"):
        tags = len(_FRAGMENT.findall(text[:8192]))
        return "html" if suffix in _HTML_SUFFIXES and tags else ""
    if suffix in _HTML_SUFFIXES or (_FRAGMENT.match(text.lstrip()) and text.count("</") > 0):
        return "html"
    found = _XML.match(text)
    if found and (suffix in ("xml", "rss", "atom", "svg") or "<?xml" in text[:100]):
        return "xml"
    closing = found and found[1] and f"</{found[1]}>" in text
    return "xml" if closing else ""


def _plain(text: str, suffix: str) -> str:
    if suffix in _TABLE_SUFFIXES:
        return "csv"
    if suffix in _PLAIN_SUFFIXES:
        return "text"
    if not suffix and (_FRONT_MATTER.match(text) or len(_MARKDOWN.findall(text)) > 1):
        return "markdown"
    lines = text.count("\n") + (not text.endswith("\n"))
    return "csv" if lines > 2 and not suffix and delimiter_of(text) else "text"


def _is_mail(text: str, suffix: str) -> bool:
    names: set[str] = set()
    lines = text.lstrip("\ufeff\r\n\t ").split("\n", 200)
    for i, line in enumerate(lines[:200]):
        if not line.strip():
            break
        if i == 0 and line.startswith("From "):
            continue
        if line[0] in " \t" and names:
            continue
        if not _MAIL_HEAD.match(line):
            return False
        names.add(line.partition(":")[0].lower())
    known = names & _MAIL_NAMES
    if suffix == "eml":
        return bool(known)
    # Without any of the heads that the mail loader needs it is a text that looks like one.
    return len(known) >= 2 and not (
        known.isdisjoint(_MAIL_SURE) or names.isdisjoint(("from", "date", "subject"))
    )


def _suffix(name: str, media_type: str) -> str:
    path = PurePosixPath(name.split("?", 1)[0].replace("\\", "/").lower())
    found = path.suffix.removeprefix(".")
    known = _MEDIA_SUFFIXES.get(media_type.split(";")[0].strip().lower(), "")
    return known if known and "://" in name else found or known
