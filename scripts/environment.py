"""Make the virtual environment and install ragstack in it; do nothing where that was done already.

A stamp in the environment holds a hash of everything the install depends on; each step is skipped
where its result is there, so a second run takes a moment and an interrupted one goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from progress import CommandFailed, Meter, duration, run

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {"demo": "local,documents", "test": "dev"}
COVERS = {"demo": ("demo", "test"), "test": ("test",)}  # an environment for tests can run the demo
INPUTS = (
    "pyproject.toml",
    "constraints.txt",
    "scripts/environment.py",
    "scripts/llama_wheel.py",
    "scripts/llama.cmake",
    "scripts/kernels/kernels.cmake",
    "scripts/kernels/attention.h",
    "scripts/kernels/barrier.h",
    "scripts/kernels/formats.h",
    "scripts/kernels/heads.h",
    "scripts/kernels/lanes.h",
    "scripts/kernels/positions.h",
    "scripts/kernels/product.h",
    "scripts/kernels/q8_k.h",
    "scripts/kernels/words.h",
)
INTERRUPTED = 130
VERSIONS = ((3, 11), (3, 13))
_COLLECTING = re.compile(r"^(?:Collecting|Requirement already satisfied:|Downloading) (\S+)")


class SetupFailed(Exception):
    """What happened, and what to install or do; shown without a traceback."""


def stamp_text(root: Path, profile: str, version: tuple[int, int], cmake_args: str) -> str:
    """Return a hash of all that decides what an environment holds."""
    state = hashlib.sha256(f"{EXTRAS[profile]}|{version}|{cmake_args}|{root}".encode())
    for name in INPUTS:
        state.update(name.encode() + (root / name).read_bytes())
    return state.hexdigest()


def ready(folder: Path, profile: str, stamp_of: dict[str, str]) -> bool:
    """Return whether the environment holds what a profile needs, as it is declared now."""
    for cover in COVERS[profile]:
        stamp = folder / f"ragstack-{cover}.stamp"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == stamp_of[cover]:
            return python_of(folder).exists()
    return False


def python_of(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / "bin" / "python"


def version_of(python: Path) -> tuple[int, int] | None:
    """Return (major, minor) of an interpreter, or None where it or its pip does not run."""
    code = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    numbers = done.stdout.split()
    return (
        (int(numbers[0]), int(numbers[1])) if done.returncode == 0 and len(numbers) == 2 else None
    )


def check_interpreter(version: tuple[int, int]) -> None:
    """Refuse an interpreter that cannot make an environment.

    Raises:
        SetupFailed: A wrong version, or one without venv or ensurepip; says what to install.
    """
    name = f"python{version[0]}.{version[1]}"
    if not VERSIONS[0] <= version <= VERSIONS[1]:
        raise SetupFailed(f"{name} is {sys.executable}; ragstack needs Python 3.11, 3.12 or 3.13")
    lacking = [
        module for module in ("venv", "ensurepip") if importlib.util.find_spec(module) is None
    ]
    if lacking:
        raise SetupFailed(
            f"{name} came without its module {lacking[0]!r}, which makes environments\n"
            f"hint: {'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {name}-venv"
        )


def make_environment(folder: Path, version: tuple[int, int]) -> None:
    """Create the environment unless a good one of this version is there."""
    if version_of(python_of(folder)) == version:
        return
    if folder.exists():
        if not (folder / "pyvenv.cfg").is_file() and any(folder.iterdir()):
            raise SetupFailed(f"{folder} is there and is no Python environment\nhint: move it away")
        say(f"{folder.name} is broken or of another Python: making it anew")
        shutil.rmtree(folder)
    base = getattr(sys, "_base_executable", "") or sys.executable
    try:
        run(
            [base, "-m", "venv", str(folder)],
            log=folder.with_name(f"{folder.name}.log"),
            meter=Meter(f"creating {folder.name} with Python {version[0]}.{version[1]}"),
        )
    except CommandFailed as failed:
        raise SetupFailed(
            f"{failed.tail()}\n\nthe environment could not be made at {folder}"
        ) from failed
    folder.with_name(f"{folder.name}.log").unlink()


def install(folder: Path, profile: str) -> None:
    """Install the engine's wheel, then ragstack with the extras of the profile.

    Raises:
        SetupFailed: A step failed; the end of its log is shown.
    """
    python, constraints = str(python_of(folder)), str(ROOT / "constraints.txt")
    build = [python, str(ROOT / "scripts" / "llama_wheel.py"), "--constraints", constraints]
    built = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if built.returncode:
        raise SetupFailed("the engine could not be built; the reason is above")
    wheel = built.stdout.strip().splitlines()[-1]
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    environ = {**os.environ, "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
    steps = (
        ("installing the engine's wheel", ["--force-reinstall", "--no-deps", wheel]),
        (
            f"installing ragstack[{EXTRAS[profile]}], about a minute",
            ["-c", constraints, "-e", f"{ROOT}[{EXTRAS[profile]}]"],
        ),
    )
    for label, what in steps:
        try:
            run(
                [*pip, *what],
                log=folder / "install.log",
                meter=Meter(label),
                environ=environ,
                on_line=lambda line, meter: (
                    meter.note(found[1]) if (found := _COLLECTING.match(line)) else None
                ),
            )
        except CommandFailed as failed:
            raise SetupFailed(
                f"{failed.tail()}\n\n{label}: pip failed; its whole output is in {failed.log}\n"
                "hint: check that pip reaches its package index, then run the same command again"
            ) from failed


def say(text: str) -> None:
    """Write a line for a person."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Bring an environment to what a profile needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", choices=sorted(EXTRAS))
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    given = parser.parse_args(arguments)
    folder: Path = given.venv.absolute()
    version = sys.version_info[:2]
    cmake_args = os.environ.get("CMAKE_ARGS", "").strip()
    try:
        stamps = {name: stamp_text(ROOT, name, version, cmake_args) for name in EXTRAS}
        if ready(folder, given.profile, stamps):
            return 0
        started = time.monotonic()
        say(f"setting up {folder} (once; it takes a few minutes the first time)")
        check_interpreter(version)
        make_environment(folder, version)
        install(folder, given.profile)
        (folder / f"ragstack-{given.profile}.stamp").write_text(
            stamps[given.profile], encoding="utf-8"
        )
        say(f"ready in {duration(time.monotonic() - started)}")
    except SetupFailed as failed:
        sys.stderr.write(f"\nerror: {failed}\n")
        return 1
    except KeyboardInterrupt:
        say("\n  stopped; the same command goes on from here")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
