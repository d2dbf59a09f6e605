"""Orders in, results out: a contestant's process, which works only while it is asked to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ragstack
import ragstack_evals
from ragstack_evals.contest.player import Ask, Heard, Setup, Used

__all__ = ["Contestant", "ContestantFailed", "Launch"]

_LOG_TAIL = 3
_CLOSE_S = 20.0


class ContestantFailed(Exception):
    """A contestant refused, died or took too long; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a contestant: its program, and how it is opened."""

    name: str
    command: Sequence[str]
    setup: Setup


class Contestant:
    """A process with a model in it. For one thread at a time."""

    def __init__(self, launch: Launch, folder: Path, *, timeout_s: float) -> None:
        """Start the process and open the model.

        Raises:
            ContestantFailed: It cannot.
        """
        self.name = launch.name
        self._timeout_s = timeout_s
        self._log = folder / f"{launch.name.replace(' ', '-')}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                launch.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(),
            )
        try:
            self.load_s = float(self._call("open", setup=asdict(launch.setup)))
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return self._process.poll() is None

    def together(self, asks: Sequence[Ask]) -> tuple[float, list[Heard]]:
        """Let it answer side by side."""
        return _heard(self._call("together", asks=[asdict(ask) for ask in asks]))

    def one(self, ask: Ask) -> Heard:
        """Let it answer one."""
        return self.together([ask])[1][0]

    def behind(self, long: Sequence[Ask], late: Ask, after_s: float) -> float:
        """Return the seconds to the first text of one that comes while others write."""
        asks = [asdict(ask) for ask in long]
        return float(self._call("behind", long=asks, late=asdict(late), after_s=after_s))

    def talk(
        self, ask: Ask, follow: Sequence[str], template: str = "{}"
    ) -> tuple[float, list[Heard]]:
        """Let it answer message after message."""
        return _heard(self._call("talk", ask=asdict(ask), follow=list(follow), template=template))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""
        return [int(each) for each in self._call("count", texts=list(texts))]

    def peak(self) -> int:
        """Return the most memory held so far, in bytes."""
        return int(self._call("peak"))

    def facts(self) -> Mapping[str, float]:
        """Return what else it knows of its work."""
        found: dict[str, float] = self._call("facts")
        return found

    def close(self) -> None:
        """End the process. A second call does nothing."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _call(self, order: str, **details: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        watch = threading.Timer(self._timeout_s, self._process.kill)
        watch.start()
        try:
            self._process.stdin.write(json.dumps({"order": order, **details}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            # Its end of the pipe closes a moment before it can be seen to have ended.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_S)
            raise ContestantFailed(
                f"{self.name} ended during {order!r} (limit {self._timeout_s:.0f} s): {self._end()}"
            )
        reply = json.loads(line)
        if "error" in reply:
            raise ContestantFailed(f"{self.name} failed at {order!r}: {reply['error']}")
        return reply["result"]

    def _end(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace").strip()
        return " / ".join(text.split("\n")[-_LOG_TAIL:]) or "it said nothing"


def _heard(result: Mapping[str, Any]) -> tuple[float, list[Heard]]:
    heard = [Heard(**{**each, "used": Used(**each["used"])}) for each in result["heard"]]
    return float(result["took_s"]), heard


def _environment() -> dict[str, str]:
    """Return an environment in which the very code that runs here is found."""
    rooms = [Path(module.__file__ or "").parents[1] for module in (ragstack_evals, ragstack)]
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, rooms), *([before] if before else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
