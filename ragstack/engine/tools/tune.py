"""Formats and thread counts measured on this machine, the fastest good one remembered.

What is found lies beside the model's file as ``FILE.tuning.json``, a format that was made as
``STEM.tuned-FORMAT.gguf``; both go when the model's folder goes. A run that is broken off goes on
where it stopped. Starts no llama.cpp in this process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from ragstack.engine.machine import logical_cores, physical_cores
from ragstack.engine.tools.formats import format_of
from ragstack.engine.tools.quantize import quantize
from ragstack.engine.tools.workbench import Effort, measure, require_text_model
from ragstack.errors import InputError, ModelError, ModelUnavailable, RagstackError

__all__ = ["FORMATS", "Trial", "Tuning", "chosen", "tune"]

FORMATS = ("Q4_0", "Q8_0")
"""What is tried beside the format given: those that llama.cpp has the fastest kernels for."""

_VERSION = 1
# A question with its passages, and an answer: what most requests are.
_READ, _WRITTEN = 600, 100
# What differs by less is noise, and not worth another file.
_CLEARLY = 0.97

Step = Callable[[str, int, int], None]
"""Called with what is being done, steps done and steps in all."""


def _unwatched(_what: str, _done: int, _total: int) -> None:
    """Steps that nobody watches."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One measurement.

    Attributes:
        threads: As given to llama.cpp.
        prefill: Tokens read in a second; ``decode``: tokens written in a second.
        failed: Empty, or why it could not be measured.
    """

    format: str
    threads: int
    prefill: float = 0.0
    decode: float = 0.0
    perplexity: float = 0.0
    failed: str = ""

    @property
    def seconds(self) -> float:
        """Seconds for a request of 600 tokens read and 100 written."""
        if self.failed or self.prefill <= 0.0 or self.decode <= 0.0:
            return math.inf
        return _READ / self.prefill + _WRITTEN / self.decode


@dataclass(frozen=True, slots=True)
class Tuning:
    """What to run a model with on this machine.

    Attributes:
        path: The file to load: the model's own, or the same model in a faster format.
        threads: Threads to run it with.
        quality: The budget: by how much perplexity was allowed to grow, as a share.
        trials: All that was measured; the first is the model as given.
        best: The one that was chosen.
    """

    path: Path
    threads: int
    quality: float
    best: Trial
    trials: tuple[Trial, ...]

    @property
    def gain(self) -> float:
        """How many times faster a request is than with the model as given."""
        given, best = self.trials[0].seconds, self.best.seconds
        return given / best if math.isfinite(given) and best > 0.0 else 1.0


def chosen(path: Path) -> Tuning | None:
    """Return what was found for a model on this machine.

    None where nothing was, where the file or the machine's cores have changed since, or where the
    file that was chosen is gone.
    """
    state = _read(path) or {}
    best, trials = _trial(state.get("chosen")), tuple(_trials(state))
    quality = state.get("quality")
    if best is None or not trials or not isinstance(quality, float):
        return None
    file = _file_of(path, best.format, trials[0].format)
    if not file.is_file():
        return None
    return Tuning(file, best.threads, quality, best, trials)


def tune(
    path: Path, *, quality: float = 0.02, effort: Effort | None = None, progress: Step = _unwatched
) -> Tuning:
    """Measure a model in several formats and with several thread counts, and keep the fastest.

    Args:
        quality: By how much perplexity may grow over the model as given: 0.02 is two percent.

    Raises:
        InputError: The budget is out of range.
        UnsupportedCapability: The model writes no text.
        NotEnoughSpace: It does not fit the memory.
        ModelError: The model as given cannot be measured.
    """
    if not 0.0 <= quality <= 1.0:
        raise InputError(f"quality is {quality!r}, expected 0 to 1")
    given = format_of(require_text_model(path))
    lock = filelock.FileLock(_state_file(path).with_suffix(".lock"), timeout=0)
    try:
        with lock:
            return _tuned(_Run(path, given, effort or Effort(), progress), quality)
    except filelock.Timeout as error:
        raise ModelUnavailable(f"another process is tuning {path.name!r}") from error


def _tuned(run: _Run, quality: float) -> Tuning:
    path, given = run.path, run.given
    first = run.trial(given, physical_cores())
    if first.failed:
        raise ModelError(f"{path.name!r} cannot be measured: {first.failed}")
    limit = first.perplexity * (1.0 + quality)
    best = first
    for name in FORMATS:
        if name != given:
            best = _better(best, run.trial(name, physical_cores()), limit)
    for threads in _thread_counts():
        best = _better(best, run.trial(best.format, threads), limit)
    run.keep(best, quality)
    found = chosen(path)
    if found is None:
        raise ModelError(f"what was found for {path.name!r} cannot be read back")
    return found


class _Run:
    """Trials, each written down as soon as it is known."""

    def __init__(self, path: Path, given: str, effort: Effort, progress: Step) -> None:
        self.path = path
        self.given = given
        self.effort = effort
        self.progress = progress
        self.trials: list[Trial] = list(_trials(_read(path) or {}))
        self.total = 1 + sum(name != given for name in FORMATS) + len(_thread_counts())
        self.done = 0

    def trial(self, name: str, threads: int) -> Trial:
        """Return a trial, measured now or in a run before."""
        what = f"{name}, {threads} threads"
        self.progress(what, self.done, self.total)
        known = [t for t in self.trials if (t.format, t.threads) == (name, threads)]
        if known:
            found = known[0]
        else:
            found = self._measured(name, threads)
            self.trials.append(found)
            self._save(None, None)
        self.done += 1
        self.progress(what, self.done, self.total)
        return found

    def _measured(self, name: str, threads: int) -> Trial:
        trial = Trial(name, threads)
        try:
            file = _file_of(self.path, name, self.given)
            if not file.exists():
                quantize(self.path, file, name)
            # Perplexity is of the format; how many threads read does not change it.
            scored = [t.perplexity for t in self.trials if t.format == name and not t.failed]
            found = measure(file, threads=threads, effort=replace(self.effort, score=not scored))
        except RagstackError as error:
            return replace(trial, failed=error.message)
        perplexity = found.score.perplexity if found.score else scored[0]
        return replace(trial, prefill=found.prefill, decode=found.decode, perplexity=perplexity)

    def keep(self, best: Trial, quality: float) -> None:
        """Write the choice down and delete the formats that were not chosen."""
        file = _file_of(self.path, best.format, self.given)
        if not file.exists():  # deleted by a run before, which had a smaller budget
            quantize(self.path, file, best.format)
        self._save(best, quality)
        for name in FORMATS:
            file = _file_of(self.path, name, self.given)
            if name not in (self.given, best.format):
                file.unlink(missing_ok=True)

    def _save(self, best: Trial | None, quality: float | None) -> None:
        state = {
            **_signature(self.path),
            "quality": quality,
            "chosen": asdict(best) if best else None,
            "trials": [asdict(trial) for trial in self.trials],
        }
        file = _state_file(self.path)
        fresh = file.with_name(file.name + ".new")
        try:
            fresh.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
            fresh.replace(file)
        except OSError as error:
            raise ModelError(
                f"what was measured cannot be written to {str(file)!r}: {error}",
                hint="`ragstack models add FILE` copies a model to where it can be",
            ) from error


def _better(best: Trial, other: Trial, limit: float) -> Trial:
    good = not other.failed and other.perplexity <= limit
    return other if good and other.seconds < best.seconds * _CLEARLY else best


def _thread_counts() -> list[int]:
    """Return what is tried beside a thread for each physical core."""
    cores, most = physical_cores(), logical_cores()
    return sorted({max(1, cores // 2), max(1, cores - 1), most} - {cores})


def _file_of(path: Path, name: str, given: str) -> Path:
    if name == given:
        return path
    return path.with_name(f"{path.stem}.tuned-{name.lower()}.gguf")


def _state_file(path: Path) -> Path:
    return path.with_name(path.name + ".tuning.json")


def _signature(path: Path) -> dict[str, Any]:
    """Return what a measurement holds for."""
    state = path.stat()
    return {
        "version": _VERSION,
        "bytes": state.st_size,
        "modified": state.st_mtime_ns,
        "cores": physical_cores(),
        "threads": logical_cores(),
    }


def _read(path: Path) -> dict[str, Any] | None:
    """Return what was written down, None where it is not of this file on this machine."""
    try:
        state = json.loads(_state_file(path).read_text(encoding="utf-8"))
        signature = _signature(path)
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict) or any(state.get(k) != v for k, v in signature.items()):
        return None
    return state


def _trials(state: Mapping[str, Any]) -> Iterator[Trial]:
    """Yield the trials that came to an end; one that failed is tried again."""
    entries = state.get("trials")
    for entry in entries if isinstance(entries, list) else ():
        trial = _trial(entry)
        if trial is not None:
            yield trial


def _trial(entry: object) -> Trial | None:
    """Return a trial as it was written down, None where it is none that came to an end."""
    if not isinstance(entry, dict):
        return None
    try:
        trial = Trial(
            str(entry["format"]),
            int(entry["threads"]),
            float(entry["prefill"]),
            float(entry["decode"]),
            float(entry["perplexity"]),
            str(entry["failed"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return None if trial.failed or trial.threads < 1 else trial
