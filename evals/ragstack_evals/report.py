"""Results in, one table and one JSON file out, with all that is needed to measure again."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ragstack_evals.resample import Interval

__all__ = ["circumstances", "interval_cells", "results_console", "table", "write_json"]

_WIDTH = 120
_PACKAGES = (
    "ragstack",
    "bm25s",
    "faiss-cpu",
    "ir_measures",
    "llama_cpp_python",
    "numpy",
    "onnxruntime",
    "pytrec_eval-terrier",
    "sentence-transformers",
    "tantivy",
    "tokenizers",
    "torch",
)


def circumstances(*, seed: int) -> dict[str, object]:
    """Return what a number depends on beside options: commit, machine, versions, seed."""
    return {
        "commit": _commit(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def results_console() -> Console:
    """Return where tables go: a file or a pipe has no width, and must not cut numbers off."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table to print: the first column is a name, the others are numbers."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def interval_cells(interval: Interval, *, digits: int = 3) -> tuple[str, str, str]:
    """Return mean, interval and sample size as they are printed."""
    if interval.n == 0:
        return ("–", "–", "0")
    return (
        f"{interval.mean:.{digits}f}",
        f"{interval.low:.{digits}f} – {interval.high:.{digits}f}",
        str(interval.n),
    )


def write_json(path: Path, payload: Mapping[str, object]) -> None:
    """Write the results, whole or not at all; NaN becomes null, since JSON has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(payload), ensure_ascii=False, indent=1, allow_nan=False)
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(path)


def _plain(value: object) -> object:
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _commit() -> str:
    here = Path(__file__).resolve().parent
    head = _git(here, "rev-parse", "HEAD")
    if not head:
        return "unknown"
    changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+changes" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
