"""The hub source, through huggingface_hub, against a server that speaks its protocol."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import HashMismatch, ModelUnavailable
from ragstack.models import hub as hub_source
from ragstack.models.store import Store
from ragstack.models.table import HubSource

_SOURCE = HubSource("some/repo", "0123456789abcdef0123456789abcdef01234567")
_DATA = bytes(range(256)) * 90_000  # 23 MB, so that there is a middle to break off in


def _store(folder: Path, model: Any, url: str) -> Store:
    return Store(folder, table={model.name: model}, endpoint=url)


def test_a_model_of_two_files_comes_whole(tmp_path: Path, hub: Any, make_model: Any) -> None:
    files = {"a.bin": _DATA, "b.json": b"{}"}
    hub.files = {f"sub/{name}": data for name, data in files.items()}
    seen: list[tuple[str, int, int]] = []
    store = _store(tmp_path, make_model(files, [_SOURCE]), hub.url)
    folder = store.pull("mini", progress=lambda *step: seen.append(step))
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name[0] != "."} == files
    assert all(
        f"/resolve/{_SOURCE.revision}/" in path or "/cdn/" in path for _, path, _ in hub.requests
    )
    assert seen[-1][1:] == (len(_DATA) + 2,) * 2
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert any("a.bin from the hub" in what and 0 < done < len(_DATA) for what, done, _ in seen)
    assert not any("b.json" in what and done < len(_DATA) for what, done, _ in seen)


def test_what_broke_off_goes_on(tmp_path: Path, hub: Any, make_model: Any) -> None:
    hub.files = {"sub/a.bin": _DATA}
    store = _store(tmp_path, make_model({"a.bin": _DATA}, [_SOURCE]), hub.url)

    def stop(what: str, done: int, total: int) -> None:
        if done > 15_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull("mini", progress=stop)
    hub.requests.clear()
    path = store.pull("mini")
    assert path.read_bytes() == _DATA
    starts = [int(r[2].removeprefix("bytes=").rstrip("-")) for r in hub.requests if r[2]]
    assert len(starts) == 1 and starts[0] >= 15_000_000
    assert sorted(p.name for p in path.parent.iterdir()) == [".lock", "a.bin"]


def test_a_dropped_line_is_taken_up_again(
    tmp_path: Path, hub: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_source.time, "sleep", lambda _: None)
    hub.files = {"sub/a.bin": _DATA}
    hub.break_after = 11_000_000
    store = _store(tmp_path, make_model({"a.bin": _DATA}, [_SOURCE]), hub.url)
    assert store.pull("mini").read_bytes() == _DATA
    starts = [r[2] for r in hub.requests if r[0] == "GET"]
    assert starts == ["", "bytes=11000000-", "bytes=22000000-"]


def test_a_line_that_keeps_dropping_is_given_up_and_what_came_is_kept(
    tmp_path: Path, hub: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_source.time, "sleep", lambda _: None)
    hub.files = {"sub/a.bin": _DATA}
    hub.break_after = 9_000_000
    store = _store(tmp_path, make_model({"a.bin": _DATA}, [_SOURCE]), hub.url)

    def hang_up(what: str, done: int, total: int) -> None:
        hub.break_after = 0 if done >= 9_000_000 else hub.break_after

    with pytest.raises(ModelUnavailable, match="what has come is kept"):
        store.pull("mini", progress=hang_up)
    hub.break_after = None
    hub.requests.clear()
    assert store.pull("mini").read_bytes() == _DATA
    assert [r[2] for r in hub.requests if r[0] == "GET"] == ["bytes=9000000-"]


@pytest.mark.parametrize("served", [_DATA[:-9], _DATA + b"more", b""])
def test_a_file_of_another_length_is_refused(
    tmp_path: Path, hub: Any, make_model: Any, served: bytes
) -> None:
    hub.files = {"sub/a.bin": served}
    store = _store(tmp_path, make_model({"a.bin": _DATA}, [_SOURCE]), hub.url)
    with pytest.raises(HashMismatch, match="bytes"):
        store.pull("mini")
    assert not list(tmp_path.rglob("*a.bin*"))


def test_other_bytes_are_refused_and_removed(tmp_path: Path, hub: Any, make_model: Any) -> None:
    hub.files = {"sub/a.bin": b"x" + _DATA[1:]}
    store = _store(tmp_path, make_model({"a.bin": _DATA}, [_SOURCE]), hub.url)
    with pytest.raises(HashMismatch, match="SHA-256"):
        store.pull("mini")
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]
    assert left == []


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_hub_that_has_it_not_is_left_at_once(
    tmp_path: Path, hub: Any, make_model: Any, status: int
) -> None:
    hub.status = status
    store = _store(tmp_path, make_model({"a.bin": _DATA}, [_SOURCE]), hub.url)
    with pytest.raises(ModelUnavailable, match=str(status)):
        store.pull("mini")
    assert len(hub.requests) == 1


def test_a_file_that_is_not_there_is_said(tmp_path: Path, hub: Any, make_model: Any) -> None:
    hub.files = {"sub/a.bin": b"a"}
    model = make_model({"a.bin": b"a", "b.bin": b"b"}, [_SOURCE])
    with pytest.raises(ModelUnavailable, match=r"sub/b\.bin"):
        _store(tmp_path, model, hub.url).pull("mini")


def test_no_hub_at_all_takes_no_time(tmp_path: Path, make_model: Any) -> None:
    began = time.perf_counter()
    store = _store(tmp_path, make_model({"a.bin": b"a"}, [_SOURCE]), "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        store.pull("mini")
    assert time.perf_counter() - began < 5


def test_the_endpoint_comes_from_the_environment(
    tmp_path: Path, hub: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files = {"sub/a.bin": b"abc"}
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    model = make_model({"a.bin": b"abc"}, [_SOURCE])
    path = Store(tmp_path, table={"mini": model}).pull("mini")
    assert path.read_bytes() == b"abc"
