"""A long command in, its progress on one line out: what is happening, how far, how long.

On a terminal the line is rewritten in place; elsewhere a new line is written at every tenth. The
command's own output goes to a log, whose tail is shown when it fails. Only the standard library.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

_NINJA = re.compile(r"^\s*\[(\d+)/(\d+)\]\s")
_MAKE = re.compile(r"^\s*\[\s*(\d+)%\]\s")
_FEWEST_STEPS = 10  # cmake's own try-compiles print [1/2]; they are not the build
_TAIL_LINES = 40
_REDRAW_S = 0.1


class CommandFailed(Exception):
    """A command ended with an error; its log is named."""

    def __init__(self, code: int, log: Path) -> None:
        super().__init__(f"exit status {code}")
        self.code = code
        self.log = log

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """Return the last lines of the log, each cut to 300 characters."""
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(line[:300] for line in text[-lines:])


def duration(seconds: float) -> str:
    """Return a duration as a person says it: ``7 s``, ``2 min 05 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def compile_step(line: str) -> tuple[int, int] | None:
    """Return (done, total) from a line of ninja (``[12/83] …``) or make (``[ 14%] …``), or None."""
    if found := _NINJA.match(line):
        done, total = int(found[1]), int(found[2])
        return (done, total) if total >= _FEWEST_STEPS else None
    if found := _MAKE.match(line):
        return int(found[1]), 100
    return None


@dataclass
class Meter:
    """Shows one task: ``compiling llama.cpp 12/83, 20 s, about 1 min 58 s left``."""

    label: str
    out: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _started: float = field(init=False)
    _first_step: float = field(init=False, default=0.0)
    _tenth: int = field(init=False, default=-1)
    _drawn: float = field(init=False, default=-1.0)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def step(self, done: int, total: int) -> None:
        """Show how far it is."""
        now = self.clock()
        if not self._first_step:
            self._first_step = now
        left = (now - self._first_step) * (total - done) / done if done else 0.0
        about = f", about {duration(left)} left" if done * 10 >= total and left >= 1 else ""
        line = f"{self.label} {done}/{total}, {duration(now - self._started)}{about}"
        if self.out.isatty():
            self._redraw(line, now, force=done == total)
        elif done * 10 // total != self._tenth:
            self._tenth = done * 10 // total
            self.out.write(f"  {line}\n")
            self.out.flush()

    def note(self, text: str) -> None:
        """Show what is being worked on, on a terminal only."""
        if self.out.isatty():
            self._redraw(f"{self.label}: {text}", self.clock(), force=False)

    def done(self) -> float:
        """Show that it is done; return the seconds it took."""
        seconds = self.clock() - self._started
        if self.out.isatty():
            self.out.write("\r\x1b[K")
        self.out.write(f"  {self.label}: done in {duration(seconds)}\n")
        self.out.flush()
        return seconds

    def _redraw(self, line: str, now: float, *, force: bool) -> None:
        if not force and now - self._drawn < _REDRAW_S:
            return
        self._drawn = now
        width = shutil.get_terminal_size().columns - 3
        self.out.write(f"\r\x1b[K  {line[:width]}")
        self.out.flush()


def run(
    command: Sequence[str],
    *,
    log: Path,
    meter: Meter,
    environ: Mapping[str, str] | None = None,
    on_line: Callable[[str, Meter], None] = lambda line, meter: None,
) -> None:
    """Run a command to its end, its output into the log and line by line to ``on_line``.

    Raises:
        CommandFailed: It ended with a status other than 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if environ is None else dict(environ),
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            on_line(line, meter)
        code = process.wait()
    if code:
        raise CommandFailed(code, log)
    meter.done()
