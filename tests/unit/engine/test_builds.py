"""Builds of llama.cpp for several processors: the best that runs here is loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ragstack.engine import library
from ragstack.engine.builds import best_build, builds_folder
from ragstack.engine.machine import processor_features

_SHOW = """
from ragstack.engine import library
print(library.library_file())
print(library.llama._lib._name)
library.start()
"""


def _build(folder: Path, name: str, *, whole: bool = True) -> Path:
    (folder / name).mkdir(parents=True)
    if whole:
        (folder / name / "libllama.so").touch()
    return folder / name


@pytest.mark.parametrize(
    ("features", "taken"),
    [
        ("", None),
        ("sse2 avx512f", None),
        ("avx2 avx_vnni", "avx_vnni"),
        ("avx2 avx512f avx512_vnni", "avx512f+avx512_vnni"),
        ("avx2 avx_vnni avx512f avx512_vnni", "avx512f+avx512_vnni"),
    ],
)
def test_the_one_that_asks_most_of_what_is_there(
    tmp_path: Path, features: str, taken: str | None
) -> None:
    for name in ("avx_vnni", "avx512f+avx512_vnni", "avx512f+amx_int8"):
        _build(tmp_path, name)
    _build(tmp_path, "avx2+avx512f+avx512_vnni", whole=False)  # a copy that was cut off
    found = best_build(tmp_path, set(features.split()))
    assert found == (tmp_path / taken if taken else None)


def test_most_environments_have_none(tmp_path: Path) -> None:
    assert best_build(tmp_path / "nothing", {"avx2"}) is None
    assert best_build(builds_folder(), frozenset()) is None


def _environment(folder: Path) -> Path:
    """Make an environment that finds what this one finds, and return its interpreter."""
    made = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(made, check=True, capture_output=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    paths = [path for path in sys.path if path and Path(path).is_dir()]
    (packages / "here.pth").write_text("\n".join(paths), encoding="utf-8")
    return folder / "bin" / "python"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a processor's features so")
def test_it_is_the_one_that_is_loaded_and_a_users_choice_wins(tmp_path: Path) -> None:
    python = _environment(tmp_path / "environment")
    builds = tmp_path / "environment" / "lib" / "llama.cpp"
    ours = library.library_file().parent
    taken = builds / min(processor_features())
    shutil.copytree(ours, taken)
    shutil.copytree(ours, builds / "of+another+processor")
    environ = {name: value for name, value in os.environ.items() if name != "LLAMA_CPP_LIB_PATH"}
    for chosen, expected in ({}, taken), ({"LLAMA_CPP_LIB_PATH": str(ours)}, ours):
        done = subprocess.run(
            [python, "-c", _SHOW],
            env=environ | chosen,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert {str(Path(line).parent) for line in done.stdout.split()} == {str(expected)}
