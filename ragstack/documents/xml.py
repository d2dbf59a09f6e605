"""XML of any vocabulary in, its text out, an element with text of its own on a line of its own.

Entities are not expanded beyond the five of XML itself; external ones are never fetched.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from ragstack.documents.build import build
from ragstack.documents.clean import characters
from ragstack.documents.decode import decode
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.writer import TextWriter
from ragstack.errors import BrokenDocument, DocumentTooLarge
from ragstack.types import Document, Mark

__all__ = ["XmlLoader"]

_DECLARATION = re.compile(r"\s*<\?xml\b[^>]*\?>")
_ENCODING = re.compile(rb"""<\?xml\b[^>]{0,100}?encoding\s*=\s*["']([\w.:-]+)""")
_TITLES = frozenset(["title", "name", "heading", "head"])
_MAX_TITLE = 150


class XmlLoader:
    """Reads XML that is no HTML: the text of its elements, each said with its name."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        found = _ENCODING.match(data[:200])
        declared = found[1].decode("ascii") if found else ""
        declared = "" if declared.lower().startswith(("utf-16", "utf-32")) else declared
        text = _DECLARATION.sub("", decode(data, source=source, declared=declared), count=1)
        reader = _Reader(self._limits, source)
        body, marks = reader.read(text)
        return build(body, source=source, meta={"type": "xml"}, marks=marks)


class _Reader:
    def __init__(self, limits: Limits, source: str) -> None:
        self._limits = limits
        self._source = source
        self._writer = TextWriter()
        self._names: list[str] = []
        self._leaf = True
        self._parts: list[str] = []

    def read(self, text: str) -> tuple[str, tuple[Mark, ...]]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._parts.append
        parser.EntityDeclHandler = self._entity
        try:
            parser.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            raise BrokenDocument(f"{self._source!r} is no well-formed XML: {error}") from error
        return self._writer.finish()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._flush()
        self._leaf = True
        self._names.append(name.rpartition(":")[2])
        if len(self._names) > self._limits.max_depth:
            raise DocumentTooLarge(
                f"the elements of {self._source!r} are nested more than "
                f"{self._limits.max_depth} deep"
            )

    def _end(self, _: str) -> None:
        self._flush()
        self._names.pop()
        if not self._leaf:
            self._writer.separate(2)
        self._leaf = False

    def _flush(self) -> None:
        text = " ".join(characters("".join(self._parts)).split())
        self._parts.clear()
        if not text:
            return
        name = self._names[-1] if self._names else ""
        if name.lower() in _TITLES and len(text) <= _MAX_TITLE:
            self._writer.heading(text, max(len(self._names) - 1, 1))
        else:
            self._writer.write(text if len(name) < 2 else f"{name}: {text}", gap=1)

    def _entity(self, *declared: object) -> None:
        raise BrokenDocument(
            f"the XML of {self._source!r} declares the entity {declared[0]!r}, which is not read"
        )
