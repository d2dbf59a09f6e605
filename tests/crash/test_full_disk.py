"""A disk that is full: a clear error, nothing lost, and with room again it goes on.

A file system of a few megabytes is mounted where the machine allows it. A limit of a file's size,
which any machine allows, stops a writer in the same places with other errors.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragstack import Stack
from ragstack.errors import DiskFull
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.pipeline.verify import verify

OVERRIDES = {"embed": {"use": "hashing"}, "ingest": {"batch": 64}}
LIMITED = """
import resource, sys
from ragstack import Stack
from ragstack.errors import BaseError
overrides = {"embed": {"use": "hashing"}, "ingest": {"batch": 64}}
with Stack.open(sys.argv[1], overrides=overrides) as stack:
    stack.ingest(sys.argv[2] + "/000.txt")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    try:
        stack.ingest(sys.argv[2])
    except BaseError as error:
        print(type(error).__name__, error.message)
"""


def documents(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        words = " ".join(f"harbour{(number * 7 + n) % 997} keeper{n}" for n in range(400))
        (folder / f"{number:03}.txt").write_text(f"Document {number}. {words}", "utf-8")
    return folder


def opened(base: Path) -> Stack:
    return Stack.open(base, overrides=OVERRIDES, generator=ScriptedGenerator([]))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("room", [0, 200_000, 700_000, 1_500_000])
def test_a_full_disk(small: Path, tmp_path: Path, room: int) -> None:
    folder = documents(tmp_path / "documents", 60)
    with opened(small / "kb") as stack:
        stack.ingest(folder / "000.txt")
        filler = small / "filler"
        free = int(subprocess.check_output(["df", "-B1", "--output=avail", small]).split()[-1])
        filler.write_bytes(b"x" * max(0, free - room))
        with pytest.raises(DiskFull) as caught:
            stack.ingest(folder)
        assert "make space" in caught.value.hint
        assert caught.value.retryable
        filler.unlink()
        # The same process goes on, and so does another.
        assert {Path(p.source).name for p in stack.search("Document 0", k=500)} >= {"000.txt"}
        assert verify(stack).ok
        subprocess.run(["mount", "-o", "remount,size=200m", small], check=True)
        report = stack.ingest(folder)
        assert not report.failed
        assert stack.stats()["documents"] == 60
        assert verify(stack, sample=None).ok
    with opened(small / "kb") as again:
        assert len(again.ingest(folder).unchanged) == 60


@pytest.mark.parametrize("limit", [150_000, 400_000, 1_000_000])
def test_files_that_may_not_grow(tmp_path: Path, limit: int) -> None:
    folder, base = documents(tmp_path / "documents", 60), tmp_path / "kb"
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, str(base), str(folder), str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(("DiskFull", "BaseError")), found.stderr
    with opened(base) as stack:
        assert verify(stack).ok
        stack.ingest(folder)
        assert stack.stats()["documents"] == 60
        assert verify(stack, sample=None).ok
