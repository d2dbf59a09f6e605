from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import InputError, NotFound
from ragstack.types import Source
from ragstack_connectors.files import FilesConnector


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def tree(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")


def found(folder: Path, *paths: Path, **options: Any) -> list[str]:
    connector = FilesConnector(paths or [folder], **options)
    sources = [source for source in connector.fetch() if isinstance(source, Source)]
    assert connector.failures == []
    return [Path(source.uri).relative_to(folder.resolve()).as_posix() for source in sources]


def test_a_file_is_told_with_its_address_bytes_and_date(tmp_path: Path) -> None:
    path = tmp_path / "été.md"
    path.write_bytes(b"# Bees\r\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (source,) = FilesConnector([path]).fetch()
    assert source == Source(
        path.resolve().as_posix(),
        b"# Bees\r\n",
        media_type="text/markdown",
        modified=datetime.fromtimestamp(1_700_000_000, UTC),
    )


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    tree(tmp_path, ["b.txt", "a/z.txt", "a/b/c.txt", "c", "é.txt"])
    assert found(tmp_path) == ["a/b/c.txt", "a/z.txt", "b.txt", "c", "é.txt"]


def test_paths_keep_their_order_and_yield_a_file_once(tmp_path: Path) -> None:
    tree(tmp_path, ["a/x", "a/y", "b"])
    paths = [tmp_path / "b", tmp_path / "a" / "y", tmp_path / "a", tmp_path]
    assert found(tmp_path, *paths) == ["b", "a/y", "a/x"]


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, ["a"])
    monkeypatch.chdir(tmp_path)
    (source,) = FilesConnector(["a"]).fetch()
    assert isinstance(source, Source)
    assert source.uri == (tmp_path / "a").resolve().as_posix()


def test_hidden_files_and_folders_of_tools_are_skipped(tmp_path: Path) -> None:
    tree(tmp_path, [".git/x", ".hidden", ".config/x", ".ragstack/x", "CVS/x", "__pycache__/x", "a"])
    assert found(tmp_path) == ["a"]
    assert found(tmp_path, hidden=True) == [".config/x", ".hidden", "a"]
    assert found(tmp_path, tmp_path / ".hidden") == [".hidden"]


def test_ignore_files_speak_for_their_folder_and_below(tmp_path: Path) -> None:
    tree(
        tmp_path, ["a.log", "keep.log", "build/x", "src/build/x", "src/a.log", "src/b.tmp", "b.tmp"]
    )
    (tmp_path / ".ragignore").write_text("# note\n*.log\n!keep.log\n/build/\n")
    (tmp_path / "src" / ".ragignore").write_text("*.tmp\n!a.log\n")
    assert found(tmp_path) == ["b.tmp", "keep.log", "src/a.log", "src/build/x"]
    assert found(tmp_path, ignore_file="") == [
        "a.log", "b.tmp", "build/x", "keep.log", "src/a.log", "src/b.tmp", "src/build/x",
    ]  # fmt: skip


def test_ignore_files_above_a_named_folder_hold_too(tmp_path: Path) -> None:
    tree(tmp_path, ["src/a.log", "src/a.txt", "build/x"])
    (tmp_path / ".ragignore").write_text("*.log\nbuild/\n")
    assert found(tmp_path, tmp_path / "src") == ["src/a.txt"]
    assert found(tmp_path, tmp_path / "build") == ["build/x"]
    assert found(tmp_path, tmp_path / "src" / "a.log") == ["src/a.log"]


def test_a_bad_line_of_an_ignore_file_does_not_switch_off_the_others(tmp_path: Path) -> None:
    tree(tmp_path, ["a.log", "b"])
    (tmp_path / ".ragignore").write_bytes(b"!\n\xff\n*.log\n")
    assert found(tmp_path) == ["b"]


def test_a_missing_path_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        FilesConnector([tmp_path, tmp_path / "nowhere"])


@pytest.mark.parametrize("paths", ["docs", Path("docs")])
def test_one_text_is_no_sequence_of_paths(paths: Any) -> None:
    with pytest.raises(InputError, match="sequence"):
        FilesConnector(paths)


def test_a_file_over_the_limit_is_reported_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, ["a", "large", "z"])
    (tmp_path / "large").write_bytes(b"x" * 2_001)
    read = Path.read_bytes

    def guarded(path: Path) -> bytes:
        assert path.name != "large"
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    connector = FilesConnector([tmp_path], max_bytes=2_000)
    assert len(list(connector.fetch())) == 2
    (failure,) = connector.failures
    assert failure.source.endswith("/large")
    assert "2,001 bytes; the limit is 2,000" in failure.reason


def test_what_cannot_be_read_does_not_end_the_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, ["a", "locked", "z"])
    read = Path.read_bytes

    def guarded(path: Path) -> bytes:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    connector = FilesConnector([tmp_path])
    names = [Path(source.uri).name for source in connector.fetch()]
    assert names == ["a", "z"]
    (failure,) = connector.failures
    assert failure.reason == "it cannot be read: Permission denied"


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_links_and_pipes(tmp_path: Path) -> None:
    tree(tmp_path, ["in/a", "out/b"])
    folder = tmp_path / "in"
    (folder / "file").symlink_to(tmp_path / "out" / "b")
    (folder / "folder").symlink_to(tmp_path / "out")
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(folder / "pipe")
    plain = FilesConnector([folder])
    assert [Path(s.uri).relative_to(tmp_path.resolve()).as_posix() for s in plain.fetch()] == [
        "in/a",
        "out/b",
    ]
    assert sorted(Path(f.source).name for f in plain.failures) == ["gone", "pipe"]
    tree(tmp_path, ["out/c"])
    following = FilesConnector([folder], follow_links=True)
    assert [Path(source.uri).name for source in following.fetch()] == ["a", "b", "c"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_name_that_is_no_text_is_reported(tmp_path: Path) -> None:
    tree(tmp_path, ["a"])
    try:
        with open(os.fsencode(tmp_path) + b"/b\xff", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes text alone")
    connector = FilesConnector([tmp_path])
    assert [Path(source.uri).name for source in connector.fetch()] == ["a"]
    (failure,) = connector.failures
    assert failure.source.endswith("/b\\udcff")
    assert "no text" in failure.reason


def test_folders_may_be_nested_deeper_than_the_interpreter(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("paths are shorter here")
    depth = sys.getrecursionlimit() // 2
    folder = tmp_path
    for _ in range(depth):
        folder /= "d"
        folder.mkdir()
    (folder / "a").write_text("deep")
    assert len(list(FilesConnector([tmp_path]).fetch())) == 1


def test_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    tree(tmp_path, ["new", "old"])
    os.utime(tmp_path / "old", (1_000_000_000, 1_000_000_000))
    connector = FilesConnector([tmp_path])
    since = datetime(2010, 1, 1, tzinfo=UTC)
    assert [Path(source.uri).name for source in connector.fetch(since=since)] == ["new"]
    naive = datetime(2010, 1, 1)
    assert [Path(source.uri).name for source in connector.fetch(since=naive)] == ["new"]


def test_failures_begin_anew_with_each_fetch(tmp_path: Path) -> None:
    write(tmp_path, large="x" * 100)
    connector = FilesConnector([tmp_path], max_bytes=10)
    for _ in range(2):
        assert list(connector.fetch()) == []
        assert len(connector.failures) == 1
