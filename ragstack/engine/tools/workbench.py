"""Jobs on models, each in a process of its own: what brings llama.cpp down ends that process alone.

Starts ``ragstack.engine.tools.trial`` and turns what it says into values and errors. Imports no
llama.cpp, so that a command line without it can say what is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragstack import errors
from ragstack.engine import gguf
from ragstack.engine.kinds import kind_of, require_ability
from ragstack.engine.memory import Window, check_memory, need
from ragstack.engine.tools.perplexity import WINDOW
from ragstack.errors import InputError, MissingExtra, ModelError, RagstackError

__all__ = [
    "Comparison",
    "Effort",
    "Measurement",
    "Report",
    "Score",
    "build_info",
    "compare",
    "measure",
    "require_text_model",
    "require_whole",
    "run_job",
    "sample_text",
]

Report = Callable[[int, int], None]
"""Called with steps done and steps in all."""

_PACKAGE = "llama_cpp"
_SPLIT_KEY = "split.count"


def _unwatched(_done: int, _total: int) -> None:
    """Steps that nobody watches."""


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a text is to a model; see ``perplexity.Likelihood``."""

    perplexity: float
    bits_per_character: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a model does on this machine.

    Attributes:
        bytes: Size of its file.
        threads: Threads it ran with; 0 is one for each physical core.
        batch: Tokens read in one step.
        prefill: Tokens of a prompt read in a second, the best of the rounds.
        decode: Tokens written in a second, one stream.
        load_s: Seconds to load the weights.
        score: None where only speed was asked for.
    """

    bytes: int
    threads: int
    batch: int
    prefill: float
    decode: float
    load_s: float
    score: Score | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on one text.

    Attributes:
        divergence: Mean Kullback-Leibler divergence in nats, of the second from the first; None
            where their tokens differ.
        top_1: Share of places where both put the same token first; None likewise.
    """

    first: Score
    second: Score
    divergence: float | None
    top_1: float | None


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a measurement takes.

    Attributes:
        rounds: How often speed is taken; the best counts.
        read: Tokens of the prompt read in each, at most ``perplexity.WINDOW``.
        written: Tokens written in each, at most as many.
        score: Whether the likelihood of the text is taken.
    """

    rounds: int = 3
    read: int = WINDOW
    written: int = 48
    score: bool = True


def sample_text() -> str:
    """Return the text that models are measured on: 2 kB of English and French, written for it."""
    return (Path(__file__).parent / "sample.txt").read_text(encoding="utf-8")


def build_info() -> dict[str, Any]:
    """Return what this llama.cpp can do; see ``ragstack.engine.tools.build.describe``.

    Raises:
        MissingExtra: llama-cpp-python is not installed.
        ModelError: It cannot be started.
    """
    return run_job({"job": "build"})


def measure(
    path: Path,
    *,
    threads: int = 0,
    batch: int = 128,
    text: str | None = None,
    effort: Effort | None = None,
    progress: Report = _unwatched,
) -> Measurement:
    """Return a model's speed on this machine, and the likelihood of a text to it.

    Args:
        threads: 0 is one for each physical core.
        batch: Tokens read in one step.
        text: None is ``sample_text``.

    Raises:
        InputError: A number is out of range, or the text is empty.
        UnsupportedCapability: The model writes no text.
        NotEnoughSpace: It does not fit the memory.
        ModelError: llama.cpp refuses it, or goes down over it.
    """
    effort = effort or Effort()
    if threads < 0 or effort.rounds < 1:
        raise InputError(
            f"threads={threads}, rounds={effort.rounds}: expected at least 0 and at least 1"
        )
    for name, value in (("batch", batch), ("read", effort.read), ("written", effort.written)):
        if not 0 < value <= WINDOW:
            raise InputError(f"{name} is {value}, expected 1 to {WINDOW}")
    require_text_model(path)
    job = {
        "job": "measure",
        "path": str(path),
        "threads": threads,
        "batch": batch,
        "text": sample_text() if text is None else text,
        "rounds": effort.rounds,
        "read": effort.read,
        "written": effort.written,
        "score": effort.score,
    }
    found = run_job(job, progress)
    score = found.get("likelihood")
    return Measurement(
        path.stat().st_size,
        threads,
        batch,
        found["prefill"],
        found["decode"],
        found["load_s"],
        None if score is None else Score(**score),
    )


def compare(
    path: Path, other: Path, *, text: str | None = None, progress: Report = _unwatched
) -> Comparison:
    """Return how two models foretell a text, and how much the second agrees with the first.

    Args:
        path: The one taken as the truth: the original, or the larger format.

    Raises:
        UnsupportedCapability: One writes no text.
        NotEnoughSpace: They do not fit the memory together.
        ModelError: llama.cpp refuses one, or goes down over it.
    """
    first, second = require_text_model(path), require_text_model(other)
    weights = need(first, Window(WINDOW)).total
    check_memory(second, Window(WINDOW), beside=weights)
    job = {
        "job": "compare",
        "path": str(path),
        "other": str(other),
        "text": sample_text() if text is None else text,
    }
    found = run_job(job, progress)
    agreed = found.get("agreement") or {}
    return Comparison(
        Score(**found["first"]),
        Score(**found["second"]),
        agreed.get("divergence"),
        agreed.get("top_1"),
    )


def require_text_model(path: Path) -> gguf.Header:
    """Return a file's header, if it is one whole model that writes text and fits the memory.

    Raises:
        ModelError: It is broken, or one part of several.
        UnsupportedCapability: It writes no text.
        NotEnoughSpace: It does not fit.
    """
    header = require_whole(path)
    require_ability(kind_of(header), "generation")
    check_memory(header, Window(2 * WINDOW))
    return header


def require_whole(path: Path) -> gguf.Header:
    """Return a file's header, if it holds a whole model.

    Raises:
        ModelError: It is broken, or one part of several.
    """
    header = gguf.read_header(path)
    split = header.metadata.get(_SPLIT_KEY, 1)
    if isinstance(split, int) and split > 1:
        raise ModelError(
            f"{path.name!r} is one of {split} parts of a model",
            hint="join them with llama.cpp's gguf-split, then `ragstack models add FILE`",
        )
    return header


def run_job(job: Mapping[str, Any], progress: Report = _unwatched) -> dict[str, Any]:
    """Do a job of ``trial.JOBS`` in a process of its own and return its result.

    That process ends with this call, whatever ends it.

    Raises:
        MissingExtra: llama-cpp-python is not installed.
        ModelError: The process came to nothing; the message says how it ended.
        RagstackError: What the job itself raised.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ragstack.engine.tools.trial", json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            errors="replace",
        )
        try:
            last = _last_line(process, progress)
            code = process.wait()
        finally:
            process.kill()  # a second call on one that has ended does nothing
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        said.seek(0)
        return _result(last, code, said.read())


def _last_line(process: subprocess.Popen[str], progress: Report) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for line in process.stdout or ():
        try:
            spoken = json.loads(line)
        except ValueError:
            continue  # a library's own chatter
        if not isinstance(spoken, dict):
            continue
        if "total" in spoken:
            progress(int(spoken["done"]), int(spoken["total"]))
        else:
            last = spoken
    return last


def _result(last: Mapping[str, Any], code: int, said: str) -> dict[str, Any]:
    if "result" in last and code == 0:
        return dict(last["result"])
    if "error" in last:
        kind = getattr(errors, str(last["error"]), ModelError)
        known = isinstance(kind, type) and issubclass(kind, RagstackError)
        raise (kind if known else ModelError)(last["message"], hint=last["hint"])
    if f"No module named '{_PACKAGE}'" in said:
        raise MissingExtra(_PACKAGE, extra="local")
    lines = said.strip().splitlines()
    raise ModelError(
        (f"llama.cpp aborted (signal {-code})" if code < 0 else f"llama.cpp ended with {code}")
        + (f": {lines[-1]}" if lines else ""),
        hint="the file is damaged or of a kind that this llama.cpp cannot handle, "
        "or memory ran out",
    )
