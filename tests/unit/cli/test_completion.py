"""Completion as shells ask for it: the scripts that are installed, and the words that come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")
_START = "import sys; sys.argv[0] = 'ragstack'; from ragstack.cli import main; main()"


def ragstack(folder: Path, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _START],
        env={**os.environ, **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def script(shell: str, folder: Path) -> str:
    return ragstack(folder, _RAGSTACK_COMPLETE=f"source_{shell}")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with ``ragstack`` on it."""
    program = tmp_path / "bin" / "ragstack"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{_START}" "$@"\n', "utf-8")
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_takes_its_script(shell: str, tmp_path: Path) -> None:
    text = script(shell, tmp_path)
    assert f"_RAGSTACK_COMPLETE=complete_{shell}" in text
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed; what it would be given was looked at")
    done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ragstack", "sea"], ["search"]),
        (["ragstack", "models", "pu"], ["pull"]),
        (["ragstack", "ask", "--sty"], ["--style"]),
        (["ragstack", "ch"], ["check"]),
    ],
)
def test_bash_completes(words: list[str], expected: list[str], path: str, tmp_path: Path) -> None:
    asked = " ".join(words)
    text = (
        f"{script('bash', tmp_path)}\nCOMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}\n"
        '_ragstack_completion ragstack; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc"],
        input=text,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(expected) <= set(done.stdout.split()), done.stderr
    assert all(word.startswith(words[-1]) for word in done.stdout.split())


def test_zsh_and_fish_are_told_what_each_word_does(tmp_path: Path) -> None:
    asked = {"_TYPER_COMPLETE_ARGS": "ragstack rein"}
    for_zsh = ragstack(tmp_path, _RAGSTACK_COMPLETE="complete_zsh", **asked)
    assert for_zsh.startswith('_arguments \'*: :(("reindex":"Build every index')
    fish = {"_RAGSTACK_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert ragstack(tmp_path, **fish, **asked).startswith("reindex\tBuild every index")
