"""One mail (RFC 5322, ``.eml``) in, its heads and its body out; attachments are named, not opened.

A plain body is preferred to an HTML one, which goes through the HTML room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default

from ragstack.documents.build import build
from ragstack.documents.clean import characters, collapse
from ragstack.documents.decode import decode
from ragstack.documents.html import write_page
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.writer import TextWriter
from ragstack.errors import BrokenDocument, UnsupportedDocument
from ragstack.types import Document, Scalar

__all__ = ["MailLoader"]

_HEADS = ("From", "To", "Cc", "Date", "Subject")
_MAX_PARTS = 1_000
_MAX_NESTED = 20
_BLANKS = re.compile(r"\n{3,}")


class MailLoader:
    """Reads one mail."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        try:
            message = message_from_bytes(data.lstrip(b"\r\n\t \xef\xbb\xbf"), policy=default)
            return self._read(message, source)
        # The standard library's parser raises its own inner errors on headers made to break it.
        except (
            LookupError, ValueError, TypeError, AttributeError, AssertionError, RecursionError
        ) as error:  # fmt: skip
            raise BrokenDocument(f"{source!r} is no mail that can be read: {error!r}") from error

    def _read(self, message: EmailMessage, source: str) -> Document:
        writer = TextWriter()
        heads = {name: _head(message, name) for name in _HEADS}
        if not any(heads.values()):
            raise BrokenDocument(f"{source!r} is no mail: it has neither sender, date nor subject")
        writer.heading(heads["Subject"], 1)
        for name in ("From", "To", "Cc", "Date"):
            if heads[name]:
                writer.block(f"{name}: {heads[name]}", gap=1 if name != "From" else 2)
        self._bodies(message, writer, source)
        attached = [name for name in _attachments(message) if name]
        if attached:
            writer.block("Attachments: " + ", ".join(attached))
        text, marks = writer.finish()
        meta: dict[str, Scalar] = {
            "title": heads["Subject"],
            "author": heads["From"],
            "date": heads["Date"],
            "type": "mail",
            "to": heads["To"] or None,
            "attachments": ", ".join(attached) or None,
        }
        return build(text, source=source, meta=meta, marks=marks)

    def _bodies(self, message: EmailMessage, writer: TextWriter, source: str) -> None:
        plain = [part for part in _parts(message) if part.get_content_type() == "text/plain"]
        plain = [part for part in plain if _text(part, source).strip()]
        if plain:
            for part in plain:
                body = characters(_text(part, source))
                body = "\n".join(line.rstrip() for line in body.split("\n"))
                writer.write(_BLANKS.sub("\n\n", body).strip("\n"))
            return
        for part in _parts(message):
            if part.get_content_type() == "text/html":
                html = _text(part, source)
                write_page(writer, html, limits=self._limits, source=source, whole=True)


def _head(message: Message, name: str) -> str:
    values = message.get_all(name) or []
    return ", ".join(filter(None, (collapse(characters(str(value))) for value in values)))


def _parts(message: Message) -> Iterator[Message]:
    # Every part that is shown: not what is attached, and of alternatives all, for the caller.
    for part in _walk(message):
        if not part.is_multipart() and part.get_content_disposition() != "attachment":
            yield part


def _walk(message: Message) -> Iterator[Message]:
    # What lies deeper than mails within mails of people do is left out.
    stack = [(message, 0)]
    for _ in range(_MAX_PARTS):
        if not stack:
            return
        part, depth = stack.pop()
        yield part
        inner = part.get_payload()
        if isinstance(inner, list) and depth < _MAX_NESTED:
            children = [child for child in reversed(inner) if isinstance(child, Message)]
            stack.extend((child, depth + 1) for child in children)


def _attachments(message: Message) -> Iterator[str]:
    for part in _walk(message):
        name = part.get_filename()
        if name or part.get_content_disposition() == "attachment":
            yield collapse(characters(str(name or part.get_content_type())))


def _text(part: Message, source: str) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    declared = str(part.get_content_charset() or "")
    # Mail calls "us-ascii" and "unknown-8bit" what its writers did not think about.
    declared = "" if declared in ("us-ascii", "unknown-8bit", "default") else declared
    try:
        return decode(payload, source=source, declared=declared)
    except UnsupportedDocument:
        return ""
