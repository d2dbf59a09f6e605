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
            self.give_up()
            raise

    def deltas(self) -> Iterator[Delta]:
        """Wait until the work has begun; return its deltas, and closing them ends it."""
        deltas = _Deltas(self)
        try:
            kind, _ = self.take()
        except BaseException:
            deltas.close()
            raise
        assert kind == "begun"
        return deltas

    def give_up(self) -> None:
        """End the work; of one that has ended the process knows nothing any more."""
        self._process.cancel(self._number)


class _Deltas(Iterator[Delta]):
    """The deltas of a request at work: no Python generator, which is closed in vain before it ran.

    Who forgets one closes it.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._over = False

    def __next__(self) -> Delta:
        if self._over:
            raise StopIteration
        try:
            kind, value = self._line.take()
        except BaseException:
            self.close()
            raise
        if kind == "end":
            self._over = True
            raise StopIteration
        delta: Delta = value
        return delta

    def close(self) -> None:
        """End the work, if it has not ended."""
        if not self._over:
            self._over = True
            self._line.give_up()

    def __del__(self) -> None:
        self.close()


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
    """One process, the thread that listens to it, and the one that tells it what is wanted.

    A stream that was forgotten is closed by the garbage collector, which may run on any thread at
    any moment, while that very thread writes or holds the lock. So what has to be told goes into a
    queue that may be put to at any moment, and giving a request up takes no lock.
    """

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
        self._orders: queue.SimpleQueue[bytes | int | None] = queue.SimpleQueue()
        self._orders.put(frames.packed(options))
        for work in (self._listen, self._tell):
            threading.Thread(target=work, name="ragstack-isolated", daemon=True).start()

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
        number = next(self._numbers)
        line = Line(self, number, cancel)
        order = frames.packed((kind, number, payload))
        with self._lock:
            if self._dead:
                line.answers.put(("error", EngineDied("the model's process has ended")))
                return line
            self._lines[number] = line
        self._orders.put(order)
        return line

    def cancel(self, number: int) -> None:
        """Give a request up; one that has ended is nobody's any more."""
        self._orders.put(number)

    def kill(self) -> None:
        """End it now."""
        self._killed = True
        self._popen.kill()
        self._popen.wait()

    def _tell(self) -> None:
        """Write down the pipe what the process has to know, until it has ended."""
        pipe = self._popen.stdin
        assert pipe is not None
        with suppress(OSError):  # it has ended: the listener tells everyone who waits
            while (order := self._orders.get()) is not None:
                if isinstance(order, bytes):
                    frames.write(pipe, order)
                elif order in self._lines:
                    frames.write(pipe, frames.packed(("cancel", order, None)))
        with suppress(OSError):
            pipe.close()

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
        self._orders.put(None)
        error = self._cause(code)
        for line in lines:
            line.answers.put(("error", error))
        if self._popen.stdout is not None:
            with suppress(OSError):
                self._popen.stdout.close()

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
