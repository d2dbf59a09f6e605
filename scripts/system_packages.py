"""Install what the tests need beside Python, where this user may; else name the line that does.

Reads scripts/system-packages.txt. It never stops a run: a test that cannot start without its
program is skipped with that reason, and the set-up says itself what it cannot do without.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("system-packages.txt")


@dataclass(frozen=True, slots=True)
class Need:
    """A program the tests use, the Debian package that brings it, and what it is for."""

    command: str
    package: str
    purpose: str


def read(text: str, *, python: str) -> list[Need]:
    """Return the table's rows, the interpreter's name filled in."""
    rows = [line.partition("#")[0].split("|") for line in text.splitlines()]
    cells = [
        [cell.strip().replace("{python}", python) for cell in row] for row in rows if len(row) == 3
    ]
    return [Need(*row) for row in cells]


def is_here(command: str) -> bool:
    """Return whether a command, or a module written ``python:NAME``, is on this machine."""
    kind, _, module = command.partition(":")
    if kind == "python" and module:
        return importlib.util.find_spec(module) is not None
    return shutil.which(command) is not None


def prefix(*, root: bool, run: Callable[[Sequence[str]], int]) -> list[str] | None:
    """Return what goes before apt-get here, or None where it may not be used without a password."""
    if shutil.which("apt-get") is None:
        return None
    if root:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") and run(["sudo", "-n", "true"]) == 0 else None


def quiet(command: Sequence[str]) -> int:
    """Run a command without a word; return its exit status."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    ).returncode


def loud(command: Sequence[str]) -> int:
    """Run a command that people see on standard error; return its exit status."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environ, check=False
    ).returncode


def main() -> int:
    """Install what is missing, or say how to."""
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    missing = [
        need
        for need in read(TABLE.read_text(encoding="utf-8"), python=python)
        if not is_here(need.command)
    ]
    if not missing:
        return 0
    for need in missing:
        sys.stderr.write(
            f"  missing: {need.command} ({need.purpose}), from the package {need.package}\n"
        )
    packages = sorted({need.package for need in missing})
    before = prefix(root=os.geteuid() == 0, run=quiet)
    if before is not None:
        sys.stderr.write(f"  installing by apt-get: {' '.join(packages)}\n")
        loud([*before, "apt-get", "update", "-q"])
        if (
            loud([*before, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages])
            == 0
        ):
            return 0
    sys.stderr.write(
        f"  could not install them here; run: sudo apt-get install -y {' '.join(packages)}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
