"""Build llama-cpp-python once for this machine, keep the wheel, and print its path.

The wheel holds machine code for this very processor, so the name of its folder in the user's cache
carries a hash of all the code depends on: version, CMAKE_ARGS, scripts/llama.cmake and what is in
scripts/kernels, processor, C library. Any Python 3 can install it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from progress import CommandFailed, Meter, compile_step, run

PACKAGE = "llama-cpp-python"
INCLUDE = Path(__file__).parent / "kernels" / "kernels.cmake"
NOT_USED = (
    "MTMD_VIDEO",
    *(f"LLAMA_BUILD_{part}" for part in ("TOOLS", "TESTS", "EXAMPLES", "SERVER", "APP")),
)
_BYTES_FREE = 2_000_000_000
_GB = 1_000_000_000
_PROBE = """\
#include <filesystem>
#include <thread>
int main() { std::thread([] {}).join(); return std::filesystem::path("a").empty(); }
"""


class SetupFailed(Exception):
    """What happened, and what to install or do; shown without a traceback."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything the machine code depends on."""

    version: str
    user_args: str
    include: str
    machine: str

    @property
    def key(self) -> str:
        """Name of the folder that keeps the wheel."""
        parts = "\0".join((self.version, self.user_args, self.include, *NOT_USED, self.machine))
        return f"{PACKAGE}-{self.version}-py3-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"

    def cmake_args(self, include: Path = INCLUDE) -> str:
        """Return CMAKE_ARGS: what is not used turned off, then the user's own, which win."""
        own = [
            f"-DCMAKE_PROJECT_INCLUDE={include.resolve()}",
            *(f"-D{name}=OFF" for name in NOT_USED),
        ]
        return " ".join([*own, self.user_args]).strip()


def wheels_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that keeps wheels, in the cache where ragstack keeps its models."""
    if chosen := environ.get("RAGSTACK_CACHE"):
        return Path(chosen).expanduser() / "wheels"
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches" / "ragstack" / "wheels"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragstack" / "wheels"


def included() -> str:
    """Return what is included into the build: the machine code depends on it."""
    files = [INCLUDE.parent.with_name("llama.cmake"), *sorted(INCLUDE.parent.iterdir())]
    return "\0".join(file.read_text(encoding="utf-8") for file in files)


def pinned_version(constraints: str) -> str:
    """Return the version that the constraints pin.

    Raises:
        SetupFailed: They do not pin it.
    """
    found = re.search(r"^llama[-_.]cpp[-_.]python\s*==\s*([^\s;#]+)", constraints, re.M | re.I)
    if not found:
        raise SetupFailed(
            f"constraints.txt does not pin {PACKAGE}; expected a line {PACKAGE}==VERSION"
        )
    return found[1]


def machine() -> str:
    """Return what decides whether machine code runs here: system, processor, C library."""
    return "|".join((platform.system(), platform.machine(), *platform.libc_ver(), _processor()))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, arm
            return " ".join(sorted(value.split()))
    return platform.processor()


def cached(folder: Path) -> Path | None:
    """Return the finished wheel in a folder, or None."""
    found = sorted(folder.glob("llama_cpp_python-*.whl"))
    return found[0] if found else None


def compiler_problem(environ: Mapping[str, str] = os.environ) -> str:
    """Return what is wrong with the C and C++ compilers here, or an empty string."""
    for variable, names in (("CC", ("cc", "gcc", "clang")), ("CXX", ("c++", "g++", "clang++"))):
        wanted = (environ[variable].split()[0],) if environ.get(variable) else names
        path = next(
            (p for p in (shutil.which(n, path=environ.get("PATH")) for n in wanted) if p), None
        )
        if path is None:
            language = "C++" if variable == "CXX" else "C"
            return f"no {language} compiler is here (looked for {', '.join(wanted)})"
        if variable == "CXX" and (said := _cannot_compile(path)):
            return f"{path} cannot compile a small C++17 program: {said}"
    return ""


def _cannot_compile(compiler: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text(_PROBE, encoding="utf-8")
        command = [
            compiler,
            "-std=c++17",
            str(source),
            "-o",
            str(source.with_suffix("")),
            "-pthread",
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (lines[0] if lines else f"exit status {done.returncode}")


def install_line() -> str:
    """Return the one line that installs a compiler here."""
    for tool, line in (
        ("apt-get", "apt-get install -y build-essential"),
        ("dnf", "dnf install -y gcc gcc-c++ make"),
        ("apk", "apk add build-base linux-headers"),
        ("pacman", "pacman -S --needed base-devel"),
        ("zypper", "zypper install -y gcc gcc-c++ make"),
    ):
        if shutil.which(tool):
            return line if os.geteuid() == 0 else f"sudo {line}"
    return (
        "xcode-select --install" if platform.system() == "Darwin" else "install gcc, g++ and make"
    )


def jobs(environ: Mapping[str, str] = os.environ) -> str:
    """Return how many compilers run at once: a core and a gigabyte for each, or as set."""
    if chosen := environ.get("CMAKE_BUILD_PARALLEL_LEVEL"):
        return chosen
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return str(max(1, min(cores, memory // _GB)))


def wheel(recipe: Recipe, folder: Path) -> Path:
    """Return the wheel for a recipe, building it unless it is in its folder already.

    An interrupted build goes on where it stopped; two at the same time wait for each other.

    Raises:
        SetupFailed: No compiler, no room, or the build failed; says what to do.
    """
    if found := cached(folder):
        return found
    if problem := compiler_problem():
        raise SetupFailed(f"{problem}; llama.cpp has to be compiled\nhint: {install_line()}")
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < _BYTES_FREE:
        raise SetupFailed(
            f"{free / _GB:.1f} GB are free at {folder}; compiling needs {_BYTES_FREE / _GB:.0f} GB"
        )
    with _alone(folder.with_name(f"{folder.name}.lock")):
        return cached(folder) or _build(recipe, folder)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is compiling llama.cpp; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, folder: Path) -> Path:
    environ = {
        **os.environ,
        "CMAKE_ARGS": recipe.cmake_args(),
        "CMAKE_BUILD_PARALLEL_LEVEL": jobs(),
        "PYTHONUNBUFFERED": "1",
    }
    source = _source(recipe.version, folder, environ)
    out, build = folder / "out", folder / "build"
    say(
        f"compiling llama.cpp: once for this machine, 2 to 10 minutes (log: {folder / 'build.log'})"
    )
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-cache-dir"]
    command += [f"--wheel-dir={out}", f"--config-settings=build-dir={build}", str(source)]
    try:
        run(
            command,
            log=folder / "build.log",
            meter=Meter("compiling llama.cpp"),
            environ=environ,
            on_line=lambda line, meter: meter.step(*step) if (step := compile_step(line)) else None,
        )
    except CommandFailed as failed:
        shutil.rmtree(
            build, ignore_errors=True
        )  # a broken build folder would break the next try too
        raise SetupFailed(
            f"{failed.tail()}\n\ncompiling llama.cpp failed; the end of {failed.log} is above\n"
            f"hint: a compiler that knows C++17 is needed ({install_line()}); "
            "with CMAKE_ARGS set, check what it asks for"
        ) from failed
    made = next(out.glob("*.whl"))
    found = folder / made.name
    made.rename(found)
    for rest in (out, build, folder / "source"):
        shutil.rmtree(rest, ignore_errors=True)
    return found


def _source(version: str, folder: Path, environ: Mapping[str, str]) -> Path:
    """Fetch and unpack the source, once; a fixed place lets an interrupted compile go on."""
    target = folder / "source"
    if target.is_dir():
        return target
    command = [sys.executable, "-m", "pip", "download", "--no-deps", f"--no-binary={PACKAGE}"]
    with tempfile.TemporaryDirectory(dir=folder) as room:
        try:
            run(
                [*command, f"--dest={room}", f"{PACKAGE}=={version}"],
                log=folder / "download.log",
                meter=Meter(f"fetching {PACKAGE} {version} (80 MB)"),
                environ=environ,
            )
        except CommandFailed as failed:
            raise SetupFailed(
                f"{failed.tail(15)}\n\n{PACKAGE} {version} could not be fetched\n"
                "hint: check that pip reaches its package index"
            ) from failed
        unpacked = Path(room, "unpacked")
        with tarfile.open(next(Path(room).glob("*.tar.gz"))) as archive:
            if hasattr(tarfile, "data_filter"):  # Debian 12 has Python 3.11.2, which lacks it
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(unpacked)
        next(unpacked.iterdir()).rename(target)
    return target


def say(text: str) -> None:
    """Write a line for a person; standard output is for the answer."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Print the wheel's path; build it first where it is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, required=True)
    constraints = parser.parse_args(arguments).constraints.read_text(encoding="utf-8")
    try:
        recipe = Recipe(
            version=pinned_version(constraints),
            user_args=os.environ.get("CMAKE_ARGS", "").strip(),
            include=included(),
            machine=machine(),
        )
        print(wheel(recipe, wheels_folder() / recipe.key))
    except SetupFailed as failed:
        sys.stderr.write(f"\nerror: {failed}\n")
        return 1
    except KeyboardInterrupt:
        say("\n  stopped; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
