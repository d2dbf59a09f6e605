"""Plain text in, the decoded file itself out: no line end, no space is touched."""

from __future__ import annotations

from ragstack.documents.build import build
from ragstack.documents.decode import decode
from ragstack.documents.limits import Limits, check_bytes
from ragstack.types import Document

__all__ = ["TextLoader"]


class TextLoader:
    """Reads text of any encoding; ``document.text`` is the decoded file without its mark."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        return build(decode(data, source=source), source=source, meta={"type": "text"})
