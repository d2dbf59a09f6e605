"""A Source in, a Document out, read in another process: one that may crash, hang or eat memory.

Pages are drawn there too.

Loaders that run native code on hostile bytes (pdf, office, html, mail) go to the worker; those of
pure Python run here. Knows nothing of formats beyond that.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ragstack.documents.dispatch import INLINE, merged, parse
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.sniff import sniff
from ragstack.documents.wire import decoded_document, decoded_error, read_frame, write_frame
from ragstack.errors import BrokenDocument, DocumentTooLarge, InputError
from ragstack.types import Document, Source

__all__ = ["LoaderWorker"]

_START_SECONDS = 60.0
_TAIL = 2_000
_ROOT = str(Path(__file__).resolve().parents[2])
# The paths come as an argument: a module run by name would be looked up where the caller stands,
# and the caller's own script must not be run a second time.
_PROGRAM = (
    "import json,sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ragstack.documents.child import main; main()"
)


class LoaderWorker:
    """Reads documents as ``load_document`` does, safe from what their bytes do to a parser.

    One process, started at the first document that needs it and again after a crash or a timeout.
    It may be used from several threads; they take turns. For more parsing at once, make more of
    them.

    Args:
        limits: What a document may cost.
    """

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def load(self, source: Source, *, loader: str = "") -> Document:
        """Return the document in a source's bytes.

        Args:
            loader: Name of the loader to take, whatever the content looks like.

        Raises:
            DocumentError: Whatever is wrong with it. A parser that crashed is a BrokenDocument,
                one that took longer than ``max_seconds`` a DocumentTooLarge.
            InputError: The worker is closed.
        """
        check_bytes(len(source.data), self._limits, source.uri)
        name = loader or sniff(source.data, name=source.uri, media_type=source.media_type)
        if name in INLINE:
            document = parse(source, limits=self._limits, loader=name)
        else:
            request = {
                "uri": source.uri,
                "media_type": source.media_type,
                "loader": name,
                "limits": asdict(self._limits),
            }
            answer, _ = self._ask(request, source.data)
            document = decoded_document(answer)
        return merged(document, source)

    def picture(self, path: Path, page: int, quote: str = "", *, name: str = "pdf") -> bytes:
        """Return a page of a file as PNG, the words of a quote highlighted.

        Args:
            page: From 1.
            name: Of the registry's ``pictures``.

        Raises:
            NotFound: There is no such page.
            DocumentError: It cannot be drawn. A crash is a BrokenDocument, more than
                ``max_seconds`` a DocumentTooLarge; the next page is drawn by a new process.
            InputError: The worker is closed.
        """
        request = {
            "uri": str(path),
            "loader": name,
            "page": page,
            "quote": quote,
            "limits": asdict(self._limits),
        }
        return self._ask(request, b"")[1]

    def close(self) -> None:
        """End the process. A second call does nothing."""
        with self._lock:
            self._closed = True
            self._drop()

    def _ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            return self._asked(request, data)

    def _asked(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        if self._closed:
            raise InputError("this LoaderWorker is closed", hint="make a new one")
        if self._child is None or not self._child.alive:
            self._drop()
            self._child = _Child()
        child = self._child
        uri, done = request["uri"], False
        try:
            answer = child.ask(request, data, timeout_s=self._limits.max_seconds)
            done = answer is not None
        except queue.Empty as error:
            raise DocumentTooLarge(
                f"reading {uri!r} took more than {self._limits.max_seconds:g} seconds",
                hint="raise max_seconds",
            ) from error
        finally:
            if not done:
                # Also when the caller is interrupted: a late answer must not meet the next one.
                ended = child.kill()
                self._child = None
        if answer is None:
            raise BrokenDocument(f"{uri!r} made its parser fail: {ended}")
        if "error" in answer[0]:
            raise decoded_error(answer[0])
        return answer

    def _drop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class _Child:
    """One process and the thread that listens to it."""

    def __init__(self) -> None:
        # Closed by kill(), which reads what the process said last.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        paths = [_ROOT, *(path for path in sys.path if path != _ROOT)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._answers: queue.Queue[tuple[dict[str, Any], bytes] | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._ready = False

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(
        self, request: dict[str, Any], data: bytes, *, timeout_s: float
    ) -> tuple[dict[str, Any], bytes] | None:
        """Return the answer, or None from a process that ended; queue.Empty after the timeout."""
        if not self._ready:
            if self._answers.get(timeout=_START_SECONDS) is None:
                return None
            self._ready = True
        stdin = self._process.stdin
        try:
            if stdin is not None:
                write_frame(stdin, request, data)
        except OSError:
            return None
        return self._answers.get(timeout=timeout_s)

    def kill(self) -> str:
        """End the process and return how it ended, with the last of what it said."""
        running = self._process.poll() is None
        if running and self._answers.empty():
            # A process that has just closed its pipe may need a moment to end by itself.
            try:
                self._process.wait(timeout=0.2 if not self._listener.is_alive() else 0.0)
                running = False
            except subprocess.TimeoutExpired:
                self._process.kill()
        elif running:
            self._process.kill()
        code = self._process.wait()
        self._listener.join(timeout=5)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        with self._stderr:
            self._stderr.seek(0, 2)
            self._stderr.seek(max(self._stderr.tell() - _TAIL, 0))
            said = self._stderr.read().decode("utf-8", "replace").strip()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        last = said.splitlines()[-1] if said else ""
        return f"{how}: {last}" if last else how

    def _listen(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        try:
            while (frame := read_frame(stream)) is not None:
                self._answers.put(frame)
        except (OSError, ValueError):
            # The pipe was closed while it was read: the process is being ended.
            self._answers.put(None)
            return
        self._answers.put(None)
