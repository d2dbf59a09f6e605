"""The worker's other side: a process that reads documents, or draws pages of them, as it is asked.

Knows nothing of who asks. Started by ``worker.LoaderWorker`` alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from ragstack import registry
from ragstack.documents.dispatch import parse
from ragstack.documents.limits import Limits
from ragstack.documents.wire import encoded_document, encoded_error, read_frame, write_frame
from ragstack.errors import DocumentError, NotFound
from ragstack.types import Source

if sys.platform != "win32":
    import resource

__all__ = ["main"]


def main() -> None:
    """Answer every request until the other side closes the pipe."""
    requests, answers = _private_pipes()
    write_frame(answers, {"ready": os.getpid()})
    while (frame := read_frame(requests)) is not None:
        head, data = frame
        _limit_memory(Limits(**head["limits"]).max_memory)
        if "page" in head:
            write_frame(answers, *_picture(head))
        else:
            write_frame(answers, _answer(head, data))


def _answer(head: dict[str, Any], data: bytes) -> dict[str, Any]:
    limits = Limits(**head["limits"])
    source = Source(head["uri"], data, media_type=head["media_type"])
    try:
        return encoded_document(parse(source, limits=limits, loader=head["loader"]))
    except DocumentError as error:
        return encoded_error(error)


def _picture(head: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    draw = registry.load("pictures", head["loader"])
    try:
        return {"drawn": True}, draw(Path(head["uri"]), head["page"], head["quote"])
    except (DocumentError, NotFound) as error:
        return encoded_error(error), b""


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    # A native library that prints would garble the answers: its standard output becomes stderr.
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return requests, answers


def _limit_memory(size: int) -> None:
    if sys.platform == "win32" or not size:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = size if hard == resource.RLIM_INFINITY else min(size, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
    except (ValueError, OSError):
        # macOS knows the limit but refuses to set it; the time limit still holds.
        return
