"""Frames on a pipe in and out: a JSON head and bytes, each preceded by its length. No pickle.

Also a Source, a Document and a DocumentError as JSON. Knows nothing of processes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

from ragstack import errors
from ragstack.errors import BrokenDocument, DocumentError, NotFound
from ragstack.types import Document, Mark

__all__ = ["decoded_document", "decoded_error", "encoded_document", "encoded_error", "read_frame",
           "write_frame"]  # fmt: skip

_LENGTHS = struct.Struct(">QQ")
_MAX_HEAD = 1 << 33


def write_frame(stream: IO[bytes], head: Mapping[str, Any], body: bytes = b"") -> None:
    """Write one frame and flush.

    Raises:
        OSError: The other end is gone.
    """
    encoded = json.dumps(head).encode("ascii")
    stream.write(_LENGTHS.pack(len(encoded), len(body)))
    stream.write(encoded)
    stream.write(body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Return the next frame, or None where the other end is gone, in the middle of one or not."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_length, body_length = _LENGTHS.unpack(lengths)
    if head_length > _MAX_HEAD:
        return None
    encoded, body = stream.read(head_length), stream.read(body_length)
    if len(encoded) < head_length or len(body) < body_length:
        return None
    head: dict[str, Any] = json.loads(encoded)
    return head, body


def encoded_document(document: Document) -> dict[str, Any]:
    """Return a document as JSON values."""
    return {
        "id": document.id,
        "text": document.text,
        "source": document.source,
        "meta": dict(document.meta),
        "marks": [
            [m.kind, m.start, m.end, m.label, m.level, m.page, m.box, m.seconds]
            for m in document.marks
        ],
    }


def decoded_document(said: Mapping[str, Any]) -> Document:
    """Return the document that was encoded."""
    marks = tuple(
        Mark(kind, start, end, label, level, page, tuple(box) if box else None, seconds)
        for kind, start, end, label, level, page, box, seconds in said["marks"]
    )
    return Document(said["id"], said["text"], said["source"], said["meta"], marks)


def encoded_error(error: DocumentError | NotFound) -> dict[str, Any]:
    """Return an error as JSON values."""
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def decoded_error(said: Mapping[str, Any]) -> DocumentError | NotFound:
    """Return the error that was encoded, of its own class."""
    kind = getattr(errors, str(said["error"]), BrokenDocument)
    if not (isinstance(kind, type) and issubclass(kind, (DocumentError, NotFound))):
        kind = BrokenDocument
    return kind(str(said["message"]), hint=str(said["hint"]))
