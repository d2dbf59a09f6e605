"""A file and the number of a page in, its picture out, drawn where a crash costs no more."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ragstack import registry
from ragstack.documents.limits import Limits

__all__ = ["Pictures"]

_LIMITS = Limits(max_seconds=20.0, max_memory=3_000_000_000)


class Pictures:
    """Draws pages in a process of its own, not that of ingests: nobody waits for those to look.

    Started at the first page. Safe to use from many threads, which take turns.
    """

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._worker: Any = None

    def page(self, path: Path, number: int, quote: str = "") -> bytes:
        """Return a page of a PDF as PNG, as ``LoaderWorker.picture`` does."""
        with self._lock:
            if self._worker is None:
                self._worker = registry.load("readers", "worker")(limits=self._limits)
            worker = self._worker
        picture: bytes = worker.picture(path, number, quote)
        return picture

    def close(self) -> None:
        """End the process. A second call does nothing."""
        with self._lock:
            if self._worker is not None:
                self._worker.close()
