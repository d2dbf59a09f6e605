"""A rival in, the interpreter that can run it out: an environment in the user's cache, made once.

Each peer has its own, because their requirements contradict each other. It sees the packages of
this environment behind its own, so that the shared embedder is the same build everywhere.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from ragstack.errors import RagstackError
from ragstack.models.places import cache_folder, locked
from ragstack_evals.rivals.plan import Rival

__all__ = ["PeerUnavailable", "interpreter"]

_WAIT_S = 3600.0
_LONGEST_S = 1800.0


class PeerUnavailable(RagstackError):
    """A peer that cannot be installed here; the message says why."""


def interpreter(name: str, rival: Rival, say: Callable[[str], None]) -> Path:
    """Return the interpreter that runs a rival, with its packages installed.

    Raises:
        PeerUnavailable: They cannot be.
    """
    if not rival.packages:
        return Path(sys.executable)
    folder = cache_folder() / "bench-rivals" / rival.environment(name)
    folder.mkdir(parents=True, exist_ok=True)
    target, mark = folder / "venv", folder / "venv" / "ready"
    python = target / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join((*rival.packages, str(rival.bare), sys.version, sys.prefix))
    with locked(folder, timeout_s=_WAIT_S):
        if mark.is_file() and mark.read_text("utf-8") == wanted:
            return python
        say(f"making an environment for {name} in the cache: a minute or two, once")
        shutil.rmtree(target, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(target)], name)
        own = sysconfig.get_path("purelib", vars={"base": str(target), "platbase": str(target)})
        lines = [f"import site; site.addsitedir({str(room)!r})" for room in site.getsitepackages()]
        Path(own, "zz_behind.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
        alone = ["--no-deps"] if rival.bare else []
        options = ["--quiet", "--disable-pip-version-check", "--no-input", *alone]
        _run([str(python), "-m", "pip", "install", *options, *rival.packages], name)
        mark.write_text(wanted, "utf-8")
    return python


def _run(command: Sequence[str], name: str) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_LONGEST_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailable(f"{name} could not be installed: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise PeerUnavailable(f"{name} could not be installed: {errors[-1][:200]}")
