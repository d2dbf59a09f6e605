"""The peers' environment is made once, and what cannot be made is left out with a note."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from ragstack_evals.contest import peers


class _Shell:
    """Stands for the commands: notes them, makes what they would, fails at one of them."""

    def __init__(self, fails_at: str = "nothing") -> None:
        self.commands: list[str] = []
        self._fails_at = fails_at

    def __call__(self, command: Sequence[str], log: Path) -> None:
        line = " ".join(command)
        self.commands.append(line)
        if self._fails_at in line:
            raise peers._Failed("there is no network")
        if "-m venv" in line:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            Path(command[-1], "lib", version, "site-packages").mkdir(parents=True)
        if "--build" in line:
            made = Path(command[command.index("--build") + 1], "bin", "llama-server")
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text("server", encoding="utf-8")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path))
    monkeypatch.setattr(peers, "_fetch", lambda _version, target, _log: target.mkdir(exist_ok=True))
    monkeypatch.setattr(peers.metadata, "version", lambda _: "1.2.3")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    return tmp_path / "bench-peers"


def _shell(monkeypatch: pytest.MonkeyPatch, fails_at: str = "nothing") -> _Shell:
    shell = _Shell(fails_at)
    monkeypatch.setattr(peers, "_run", shell)
    return shell


def test_all_is_made_once(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    shell, said = _shell(monkeypatch), list[str]()
    first = peers.prepare(said.append)
    assert first.python is not None and first.python.is_relative_to(cache)
    assert first.server is not None and first.server.parent.parent == cache
    assert first.notes == []
    assert any("LLAMA_USE_PREBUILT_UI=OFF" in line for line in shell.commands)
    (behind,) = cache.rglob("zz_behind.pth")
    assert "addsitedir" in behind.read_text(encoding="utf-8")
    before = len(shell.commands)
    again = peers.prepare(said.append)
    assert (again.python, again.server) == (first.python, first.server)
    assert len(shell.commands) == before, "nothing is made twice"


def test_other_build_arguments_make_another_server(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    shell = _shell(monkeypatch)
    plain = peers.prepare(lambda _: None).server
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    assert peers.prepare(lambda _: None).server != plain
    assert any("-DGGML_CUDA=on" in line for line in shell.commands)


def test_without_a_network_langchain_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _shell(monkeypatch, "pip install")
    found = peers.prepare(lambda _: None)
    assert found.python is None and found.server is not None
    assert "no LangChain" in found.notes[0] and "no network" in found.notes[0]


def test_without_a_compiler_the_wheel_serves_and_the_report_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _shell(monkeypatch, "--build")
    found = peers.prepare(lambda _: None)
    assert found.python is not None and found.server is None
    assert "could not be compiled" in found.notes[0]
    assert "xllamacpp's wheel" in found.notes[1]


def test_the_project_file_names_the_same_releases() -> None:
    file = Path(__file__).resolve().parents[3] / "pyproject.toml"
    extras = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert tuple(extras["peers"]) == peers.PACKAGES


def test_a_failed_command_tells_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(peers._Failed, match=r"python.*failed.*broken"):
        peers._run([sys.executable, "-c", "raise SystemExit('it is broken')"], tmp_path / "log")
