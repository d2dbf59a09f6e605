"""The processes of these tests: one that fails is seen, one that is killed has told what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

Start = Callable[..., Any]

# In one write, so that they come together, however Python buffers.
SPEAKS = "import os, time\nos.write(1, b'1\\n2\\n3\\n')\ntime.sleep(60)"
SLEEPS = "import time\nprint('ready', flush=True)\ntime.sleep(60)"


def test_one_that_fails_before_it_is_ready_says_why(start: Start) -> None:
    process = start("import sys\nsys.exit(sys.argv[1])", "no harbour")
    with pytest.raises(AssertionError, match="no harbour"):
        process.ready()


def test_one_that_fails_at_its_work_says_why(start: Start) -> None:
    process = start("print('ready', flush=True)\n1 / 0")
    process.ready()
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        process.finish(timeout_s=30)


def test_one_that_is_killed_has_told_all_it_printed(start: Start) -> None:
    process = start(SPEAKS)
    assert process.line() == "1\n"
    assert process.kill() == "2\n3\n"
    assert process.ended


def test_one_that_ends_has_told_all_it_printed(start: Start) -> None:
    process = start("import os\nos.write(1, b'1\\n2\\n3\\n')")
    assert process.line() == "1\n"
    assert process.finish(timeout_s=30) == "2\n3\n"


def test_one_that_does_not_end_in_time_has_failed(start: Start) -> None:
    process = start(SLEEPS)
    process.ready()
    with pytest.raises(AssertionError):
        process.finish(timeout_s=0.1)
    assert process.ended


def test_errors_without_end_hold_nothing_up(start: Start) -> None:
    process = start("import sys\nsys.stderr.write('x' * 1_000_000)\nprint('done')")
    assert process.finish(timeout_s=30) == "done\n"


@pytest.fixture
def watched() -> Iterator[list[Any]]:
    """Processes that must have ended when the test's other fixtures are gone."""
    left: list[Any] = []
    yield left
    assert left and all(process.ended for process in left)


def test_none_outlives_its_test(watched: list[Any], start: Start) -> None:
    process = start(SLEEPS)
    process.ready()
    watched.append(process)
    assert not process.ended
