"""Requests in, answers out, by a process that is started when one comes and may end at any time.

Knows frames and pipes, and not what a request asks for.
"""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ragstack.errors import EngineDied, GenerationError
from ragstack.generate import frames
from ragstack.types import Delta

__all__ = ["Home", "Line", "Process"]

_LOOK_S = 0.1  # between two looks at whether a caller gave its request up
_TAIL = 2_000  # bytes of what a process said last
_ROOT = str(Path(__file__).resolve().parents[2])
# The paths come as an argument: a module run by name would be looked up where the caller stands.
_PROGRAM = (
    "import json,sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ragstack.generate.isolated_child import main; main()"
)


class Line:
    """One request's end of the pipe."""

    def __init__(self, process: Process, number: int, cancel: threading.Event | None) -> None:
        self.answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._process = process
        self._number = number
        self._cancel = cancel

    def take(self) -> tuple[str, Any]:
        """Return the next message; an error is raised."""
        kind, value = self._next()
        if kind == "error":
            raise value if isinstance(value, BaseException) else frames.unpacked_error(value)
        return kind, value

    def _next(self) -> tuple[str, Any]:
        while self._cancel is not None:
            if self._cancel.is_set():
                self._process.cancel(self._number)
                self._cancel = None  # told once; the answer to it is on its way
                break
            with suppress(queue.Empty):
                return self.answers.get(timeout=_LOOK_S)
        return self.answers.get()

    def result(self) -> Any:
        """Return what a call gives; a caller that is interrupted while it waits ends the work."""
        try:
            return self.take()[1]
        except BaseException:
            self._process.cancel(self._number)  # of one that has ended it knows nothing any more
            raise

    def deltas(self) -> Iterator[Delta]:
        """Yield deltas to the end; closing this ends the work."""
        ended = False
        try:
            while True:
                kind, value = self.take()
                if kind == "end":
                    ended = True
                    return
                yield value
        finally:
            if not ended:
                self._process.cancel(self._number)


class Home:
    """Where the process lives: starts it, and lets it go."""

    def __init__(self, options: dict[str, object], idle_s: float) -> None:
        self._options = options
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._closed = False
        self._used = time.monotonic()

    def send(self, kind: str, payload: object, cancel: threading.Event | None = None) -> Line:
        """Hand a request to the process, a new one if need be."""
        with self._lock:
            if self._closed:
                raise GenerationError("the generator is closed")
            if self._process is None or not self._process.alive:
                self._process = Process(self._options)
                if self._idle_s:
                    self._watch()
            self._used = time.monotonic()
            return self._process.send(kind, payload, cancel)

    @property
    def pid(self) -> int | None:
        """The process that holds the model; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    def close(self) -> None:
        """End the process for good."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _watch(self) -> None:
        timer = threading.Timer(self._idle_s, self._look)
        timer.daemon = True
        timer.start()

    def _look(self) -> None:
        """End the process if nobody used it for long enough, else look again later."""
        with self._lock:
            process = self._process
            if process is None or not process.alive:
                return
            if process.busy:
                self._used = time.monotonic()
            if time.monotonic() - self._used < self._idle_s:
                self._watch()
                return
            self._process = None
        process.kill()


class Process:
    """One process and the thread that listens to it."""

    def __init__(self, options: dict[str, object]) -> None:
        # Closed when the process has ended and its last words were read.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        paths = [_ROOT, *(path for path in sys.path if path != _ROOT)]
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._lines: dict[int, Line] = {}
        self._dead = False
        self._killed = False
        self._write(options)
        threading.Thread(target=self._listen, name="ragstack-isolated", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it can still answer."""
        return not self._dead and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """Its number on this machine."""
        return self._popen.pid

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._lines)

    def send(self, kind: str, payload: object, cancel: threading.Event | None) -> Line:
        """Hand a request over; of a dead process, its line says so."""
        with self._lock:
            number = next(self._numbers)
            line = Line(self, number, cancel)
            if self._dead:
                line.answers.put(("error", EngineDied("the model's process has ended")))
                return line
            self._lines[number] = line
            self._write((kind, number, payload))
            return line

    def cancel(self, number: int) -> None:
        """Give a request up; one that has ended is nobody's any more."""
        with self._lock:
            if number in self._lines and not self._dead:
                self._write(("cancel", number, None))

    def kill(self) -> None:
        """End it now."""
        self._killed = True
        self._popen.kill()
        self._popen.wait()

    def _write(self, value: object) -> None:
        pipe = self._popen.stdin
        assert pipe is not None
        try:
            frames.write(pipe, value)
        except OSError:
            return  # it has ended: the listener tells everyone who waits

    def _listen(self) -> None:
        pipe = self._popen.stdout
        assert pipe is not None
        try:
            while True:
                kind, number, value = frames.read(pipe)
                with self._lock:
                    last = kind in ("end", "error")
                    line = self._lines.pop(number) if last else self._lines[number]
                line.answers.put((kind, value))
        except EOFError:
            self._mourn()

    def _mourn(self) -> None:
        """Tell everyone who waits how the process ended."""
        code = self._popen.wait()
        with self._lock:
            self._dead = True
            lines, self._lines = list(self._lines.values()), {}
        error = self._cause(code)
        for line in lines:
            line.answers.put(("error", error))
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _cause(self, code: int) -> GenerationError:
        with self._stderr:
            self._stderr.seek(0, 2)
            self._stderr.seek(max(self._stderr.tell() - _TAIL, 0))
            said = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        if self._killed:
            return GenerationError("the generator is closed")
        told = [line for line in said if "ASSERT" in line or "rror" in line] or said[-1:]
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return EngineDied(
            f"the model's process ended ({how})" + (f": {told[-1].strip()}" if told else ""),
            hint="try again: the next request starts a new one",
        )
