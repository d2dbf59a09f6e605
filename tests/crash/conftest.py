"""A process that works and is killed in the midst of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Protocol

import pytest


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
def work() -> Work:
    return _work


def _work(driver: str, *arguments: object, delay: float | None) -> float:
    process = subprocess.Popen(
        [sys.executable, "-c", driver, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
    begun = time.perf_counter()
    if delay is not None:
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    out, errors = process.communicate(timeout=300)
    if delay is None:
        assert out == "done\n", errors
    return time.perf_counter() - begun
