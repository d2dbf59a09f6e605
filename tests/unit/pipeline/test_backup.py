from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ragstack import Stack
from ragstack.errors import BaseError, BaseVersionError, InputError, NotFound
from ragstack.pipeline.backup import backup, restore

OpenStack = Callable[..., Stack]


@pytest.fixture
def archive(stack: Stack, tmp_path: Path) -> Path:
    stack.folder.joinpath("ragstack.toml").write_text('[embed]\nuse = "hashing"\n', "utf-8")
    target = tmp_path / "out" / "kb.zip"
    backup(stack, target)
    return target


def test_a_restored_base_finds_the_same(
    stack: Stack, archive: Path, open_stack: OpenStack, tmp_path: Path
) -> None:
    restore(archive, tmp_path / "again")
    again = open_stack("again")
    assert again.search("lighthouse", k=5) == stack.search("lighthouse", k=5)
    assert again.stats()["documents"] == stack.stats()["documents"]
    assert not list(tmp_path.glob(".restore-*"))


def test_nothing_is_overwritten(stack: Stack, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there already"):
        backup(stack, archive)
    with pytest.raises(InputError, match="not empty"):
        restore(archive, stack.folder)
    with pytest.raises(NotFound):
        restore(tmp_path / "no.zip", tmp_path / "x")


def test_there_must_be_a_base(open_stack: OpenStack, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        backup(open_stack("none"), tmp_path / "x.zip")


@pytest.mark.parametrize("cut", [0, 10, 1000, -200, -5])
def test_a_cut_archive_is_refused_and_leaves_nothing(
    archive: Path, tmp_path: Path, cut: int
) -> None:
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(BaseError):
        restore(archive, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_changed_member_is_refused(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as source:
        members = {name: source.read(name) for name in source.namelist()}
    members["catalog.sqlite"] = members["catalog.sqlite"][:-1] + b"\x00\x00"
    with zipfile.ZipFile(archive, "w") as target:
        for name, data in members.items():
            target.writestr(name, data)
    with pytest.raises(BaseError, match="damaged"):
        restore(archive, tmp_path / "again")


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        ('{"format": 99, "sha256": {}}', BaseVersionError),
        ('{"format": 1, "sha256": {"../evil": "x"}}', BaseError),
        ("[]", BaseError),
        ("no json", BaseError),
    ],
)
def test_a_strange_manifest_is_refused(
    tmp_path: Path, manifest: str, error: type[Exception]
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr("manifest.json", manifest)
    with pytest.raises(error):
        restore(tmp_path / "a.zip", tmp_path / "again")
