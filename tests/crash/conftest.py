"""A process that works beside the test, or is killed in the midst of its work."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Protocol

import pytest


class Running:
    """A Python process at work; what it prints is read line by line, or at its end.

    Args:
        errors: A file for what it says of its errors; a pipe that nobody reads would fill up.
    """

    def __init__(self, errors: IO[str], driver: str, *arguments: object) -> None:
        self._errors = errors
        self._process = subprocess.Popen(
            [sys.executable, "-c", driver, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdout is not None
        self._printed = self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def line(self) -> str:
        """Wait for the next line it prints; one that ends without has failed."""
        found = self._printed.readline()
        assert found, self._told()
        return found

    def ready(self) -> None:
        """Wait until it prints ``ready``."""
        assert self.line() == "ready\n"

    def finish(self, *, timeout_s: float) -> str:
        """Let it end well, and return what it printed since the last line that was read."""
        late = threading.Timer(timeout_s, self._process.kill)
        late.start()
        try:
            printed = self._rest()
        finally:
            late.cancel()
        assert self._process.returncode == 0, self._told()
        return printed

    def kill(self) -> str:
        """Kill -9, and return what it printed since the last line that was read."""
        self._process.kill()
        return self._rest()

    def close(self) -> None:
        """Kill it if it is still there, and let go of its pipe."""
        with self._process:
            self._process.kill()

    def _rest(self) -> str:
        """Return all it prints to its end; ``communicate`` loses what came with the last line."""
        printed = self._printed.read()
        self._process.wait()
        return printed

    def _told(self) -> str:
        """Return what it said of its errors."""
        self._errors.seek(0)
        return self._errors.read()


class Start(Protocol):
    """Starts a process, which does not outlive the test."""

    def __call__(self, driver: str, *arguments: object) -> Running:
        """Return it at once.

        Args:
            driver: Python.
            arguments: Of its command line.
        """


class Work(Protocol):
    """Runs a driver to its end, or to its death."""

    def __call__(self, driver: str, *arguments: object, delay: float | None) -> float:
        """Return the seconds it ran after it was ready.

        Args:
            driver: Python that prints ``ready``, works, and prints ``done``.
            arguments: Of its command line.
            delay: Seconds from ``ready`` to kill -9; None lets it end.
        """


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as started:

        def start(driver: str, *arguments: object) -> Running:
            errors = started.enter_context(tempfile.TemporaryFile("w+"))
            process = Running(errors, driver, *arguments)
            started.callback(process.close)
            return process

        yield start


@pytest.fixture
def work(start: Start) -> Work:
    def work(driver: str, *arguments: object, delay: float | None) -> float:
        process = start(driver, *arguments)
        process.ready()
        begun = time.perf_counter()
        if delay is None:
            assert process.finish(timeout_s=300) == "done\n"
        else:
            time.sleep(delay)
            process.kill()
        return time.perf_counter() - begun

    return work
