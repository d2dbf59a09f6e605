"""What brings indexes up to the catalog in, the same beside the taking of documents out.

Embedding works outside of Python and on all cores; reading, cutting and storing work inside it and
on one. Side by side the one does not wait for the other.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

__all__ = ["Indexing"]


class Indexing:
    """Runs one step of indexing at a time. For one thread, which takes documents.

    A context manager: what is at work is waited for when it ends, whatever ends it.
    """

    def __init__(self, index: Callable[[], None]) -> None:
        """Take what brings every index up to where the catalog is when it is called."""
        self._index = index
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ragstack-index")
        self._running: Future[None] | None = None

    def __enter__(self) -> Indexing:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def begin(self) -> None:
        """Begin a step, once the one at work is done; what that one failed of is raised here."""
        self._wait()
        self._running = self._pool.submit(contextvars.copy_context().run, self._index)

    def finish(self) -> None:
        """Wait for the step at work, then index here what came since."""
        self._wait()
        self._index()

    def _wait(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()
