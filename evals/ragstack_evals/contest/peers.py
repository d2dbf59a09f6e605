"""Nothing in, the peers' environment and llama.cpp's own server out, made once in the user's cache.

The environment sees the packages of this one behind its own, so the peers run the very build of
llama-cpp-python that ragstack runs. The server is compiled from the source of that same release,
because the one inside ``xllamacpp``'s wheel is built for any processor and would be slower.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from ragstack.models.places import cache_folder, locked, require_space

__all__ = ["PACKAGES", "Peers", "prepare"]

PACKAGES = ("langchain-community==0.4.2", "langchain-core==1.7.2", "xllamacpp==2026.10.11549")
_PACKAGE = "llama-cpp-python"
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_OPENSSL=OFF",
)
_MENDING = Path(__file__).parents[3] / "scripts" / "llama.cmake"  # not there beside a wheel
_WAIT_S = 3600.0
_ROOM = 1_500_000_000

Say = Callable[[str], None]


class _Failed(Exception):
    """A command failed; the message holds the end of its log."""


@dataclass(slots=True)
class Peers:
    """What there is to run peers with.

    Attributes:
        python: Of the environment with LangChain; None where it cannot be made.
        server: llama.cpp's server; None means the one inside ``xllamacpp``.
        notes: What a reader of the numbers has to know.
    """

    python: Path | None = None
    server: Path | None = None
    notes: list[str] = field(default_factory=list)


def prepare(say: Say, *, compile_server: bool = True) -> Peers:
    """Make what is missing; what cannot be made is left out, with a note."""
    folder = cache_folder() / "bench-peers"
    folder.mkdir(parents=True, exist_ok=True)
    peers = Peers()
    with locked(folder, timeout_s=_WAIT_S):
        try:
            peers.python = _environment(folder, say)
        except (_Failed, OSError) as error:
            peers.notes.append(f"no LangChain and no xllamacpp beside it: {error}")
        if compile_server:
            try:
                peers.server = _server(folder, say)
            except (_Failed, OSError, metadata.PackageNotFoundError) as error:
                peers.notes.append(f"llama.cpp's server could not be compiled: {error}")
    if peers.server is None and peers.python is not None:
        peers.notes.append(
            "the server is xllamacpp's wheel: built for any processor, of another release of "
            "llama.cpp; its numbers are no measure of llama.cpp's server"
        )
    return peers


def _environment(folder: Path, say: Say) -> Path:
    """Return the interpreter of the environment, which is made if its packages changed."""
    wanted = "\n".join((*PACKAGES, sys.version, sys.prefix))
    target, mark = folder / "venv", folder / "venv" / "ready"
    python = target / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return python
    say("making the peers' environment (LangChain, xllamacpp): about half a minute, once")
    shutil.rmtree(target, ignore_errors=True)
    log = folder / "venv.log"
    _run([sys.executable, "-m", "venv", str(target)], log)
    own = sysconfig.get_path("purelib", vars={"base": str(target), "platbase": str(target)})
    lines = [f"import site; site.addsitedir({str(room)!r})" for room in site.getsitepackages()]
    Path(own, "zz_behind.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], log)
    mark.write_text(wanted, encoding="utf-8")
    return python


def _server(folder: Path, say: Say) -> Path:
    """Return llama.cpp's server of the installed release, compiled with the same CMAKE_ARGS."""
    version = metadata.version(_PACKAGE)
    arguments = os.environ.get("CMAKE_ARGS", "").strip()
    mending = _MENDING.read_bytes() if _MENDING.is_file() else b""
    key = hashlib.sha256(arguments.encode() + mending).hexdigest()[:8]
    name = f"server-{version}-{key}"
    made = folder / name / ("llama-server.exe" if os.name == "nt" else "llama-server")
    if made.is_file():
        return made
    cmake = shutil.which("cmake")
    if cmake is None:
        raise _Failed("there is no cmake")
    require_space(folder, _ROOM)
    log = folder / f"{name}.log"
    begun = time.monotonic()
    say(f"compiling llama.cpp's server: 5 to 15 minutes, once (log: {log})")
    # Fixed places: a compile that was broken off goes on from there.
    source, build = folder / f"{name}.source", folder / f"{name}.build"
    _fetch(version, source, log)
    ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
    own = [f"-DCMAKE_PROJECT_INCLUDE={_MENDING}"] if mending else []
    given = [*_OPTIONS, *own, *shlex.split(arguments)]
    inner = source / "vendor" / "llama.cpp"
    _run([cmake, *ninja, "-S", str(inner), "-B", str(build), *given], log)
    jobs = str(os.cpu_count() or 1)
    _run([cmake, "--build", str(build), "--target", "llama-server", "-j", jobs], log)
    made.parent.mkdir(exist_ok=True)
    draft = made.with_name(f"{made.name}.draft")
    shutil.copy2(build / "bin" / made.name, draft)
    draft.replace(made)
    for rest in (build, source):
        shutil.rmtree(rest, ignore_errors=True)
    say(f"llama.cpp's server took {time.monotonic() - begun:.0f} s to compile")
    return made


def _fetch(version: str, target: Path, log: Path) -> None:
    """Fetch and unpack the source of a release, once."""
    if target.is_dir():
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as room:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += [f"--no-binary={_PACKAGE}", f"--dest={room}", f"{_PACKAGE}=={version}"]
        _run(command, log)
        unpacked = Path(room, "unpacked")
        with tarfile.open(next(Path(room).glob("*.tar.gz"))) as archive:
            if hasattr(tarfile, "data_filter"):  # Debian 12 has Python 3.11.2, which lacks it
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(unpacked)
        next(unpacked.iterdir()).rename(target)


def _run(command: Sequence[str], log: Path) -> None:
    with log.open("ab") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").strip().split("\n")[-3:]
        raise _Failed(f"{Path(command[0]).name} failed (log: {log}): " + " / ".join(tail))
