from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import IndexStateError
from ragstack.index import segments


def live_with(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        for suffix in ("idx", "7.del"):
            (folder / f"{name}.{suffix}").write_text(name)
    meta = {"segments": [{"segment_id": f"{name[:2]}-{name[2:]}"} for name in names]}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_published_and_revived_hold_the_segments_named(tmp_path: Path) -> None:
    live = live_with(tmp_path / "live", "aa11", "bb22")
    (live / "cc33.idx").write_text("being written")
    (live / ".lock").write_text("")
    segments.publish(live, tmp_path / "kept")
    files = {"aa11.idx", "aa11.7.del", "bb22.idx", "bb22.7.del", "meta.json"}
    assert names_in(tmp_path / "kept") == files
    (live / "aa11.idx").unlink()
    assert (tmp_path / "kept" / "aa11.idx").read_text() == "aa11"
    again = tmp_path / "again"
    again.mkdir()
    segments.revive(tmp_path / "kept", again)
    assert names_in(again) == files | {".managed.json"}
    assert set(json.loads((again / ".managed.json").read_text())) == files


def test_merge_that_ends_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, real = live_with(tmp_path / "live", "aa11", "bb22"), os.link

    def merge(source: Any, target: Any) -> None:
        monkeypatch.setattr(os, "link", real)
        for path in live.iterdir():
            path.unlink()
        live_with(live, "dd44")
        raise FileNotFoundError(2, "gone", str(source))

    monkeypatch.setattr(os, "link", merge)
    segments.publish(live, tmp_path / "kept")
    assert names_in(tmp_path / "kept") == {"dd44.idx", "dd44.7.del", "meta.json"}


def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise PermissionError(1, "not permitted", str(source))

    monkeypatch.setattr(os, "link", refuse)
    segments.publish(live_with(tmp_path / "live", "aa11"), tmp_path / "kept")
    assert (tmp_path / "kept" / "aa11.idx").read_text() == "aa11"


def test_missing_segment_and_unreadable_list(tmp_path: Path) -> None:
    live = live_with(tmp_path / "live", "aa11", "bb22")
    for path in live.glob("aa11.*"):
        path.unlink()
    with pytest.raises(IndexStateError, match="does not hold the segments"):
        segments.publish(live, tmp_path / "kept")
    for wrong in ("{", "[]", '{"segments": [{}]}'):
        (live / "meta.json").write_text(wrong)
        with pytest.raises(IndexStateError, match="cannot be read"):
            segments.publish(live, tmp_path / "kept")
