from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from ragstack.errors import IndexStateError
from ragstack.filters import Compare, Exists, Filter
from ragstack.index.rows import LogState, RowTable
from ragstack.testing.indexes import chunk_of, random_chunks


def test_rows_count_up_and_are_given_again_only_if_so_asked() -> None:
    chunks = random_chunks(6, seed=1)
    for reuse, expected in ((False, [4, 5]), (True, [1, 4])):
        table = RowTable(reuse=reuse)
        assert table.add(chunks[:4]).tolist() == [0, 1, 2, 3]
        before = table.ids
        assert table.kill([chunks[1].id, "unknown", chunks[1].id]) == [1]
        assert table.kill([chunks[1].id]) == []
        assert sorted(table.add(chunks[4:]).tolist()) == expected
        assert len(table) == 5
        assert before[1] == chunks[1].id, "a view taken before must not change"


@pytest.mark.parametrize("reuse", [False, True])
def test_log_is_read_back_whole_and_by_its_tail(tmp_path: Path, reuse: bool) -> None:
    path, chunks = tmp_path / "log", random_chunks(60, seed=2)
    table, tail = RowTable(reuse=reuse), RowTable(reuse=reuse)
    for start in range(0, 60, 20):
        table.add(chunks[start : start + 20])
        table.kill(chunk.id for chunk in chunks[start : start + 5])
        table.append_to(path)
        tail.read(path, table.state)
        whole = RowTable(reuse=reuse)
        whole.read(path, table.state)
        for other in (tail, whole):
            assert (len(other), other.state) == (len(table), table.state)
            for where in (None, Exists("one"), Compare("two", "gt", 0)):
                assert named(other, where) == named(table, where)
            assert other.kill(["unknown"]) == []


def test_what_is_behind_the_state_does_not_count(tmp_path: Path) -> None:
    path, chunks = tmp_path / "log", random_chunks(9, seed=3)
    table = RowTable(reuse=False)
    table.add(chunks[:3])
    table.append_to(path)
    state = table.state
    table.add(chunks[3:6])
    table.append_to(path)  # a process killed before its manifest was written
    after = RowTable(reuse=False)
    after.read(path, state)
    assert len(after) == 3
    after.add(chunks[6:7])
    after.append_to(path)
    assert path.stat().st_size == after.state.size
    again = RowTable(reuse=False)
    again.read(path, after.state)
    assert named(again, None) == sorted(c.id for c in (*chunks[:3], chunks[6]))


def test_damage_is_seen(tmp_path: Path) -> None:
    path, table = tmp_path / "log", RowTable(reuse=False)
    table.add(random_chunks(30, seed=4))
    table.append_to(path)
    data = path.read_bytes()
    for wrong in (data[:-7], data.replace(b"rose", b"nose").replace(b"d0003", b"d9003"), b""):
        path.write_bytes(wrong)
        with pytest.raises(IndexStateError):
            RowTable(reuse=False).read(path, table.state)
    path.write_bytes(data)
    with pytest.raises(IndexStateError):
        table.read(path, LogState(5, 0, 0))


@pytest.mark.parametrize("line", [b"+{", b"?{}", b'+{"rows": [0]}', b'+{"rows":[0,1],"ids":["a"]}'])
def test_lines_that_mean_nothing_are_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "log").write_bytes(line + b"\n")
    state = LogState(len(line) + 1, zlib.crc32(line + b"\n"), 1)
    with pytest.raises(IndexStateError):
        RowTable(reuse=False).read(tmp_path / "log", state)


def test_compacted_and_rewritten_hold_the_same(tmp_path: Path) -> None:
    chunks, table = random_chunks(100, seed=5), RowTable(reuse=True)
    table.add(chunks)
    table.kill(chunk.id for chunk in chunks[10:90])
    small, old = table.compacted()
    assert (small.size, old.tolist()) == (20, [*range(10), *range(90, 100)])
    same = table.rewritten()
    assert (same.size, len(same)) == (100, 20)
    for number, other in enumerate((small, same)):
        other.append_to(tmp_path / str(number))
        assert other.state.written == 20
        back = RowTable(reuse=True)
        back.read(tmp_path / str(number), other.state)
        for where in (None, Exists("one"), Compare("two", "gt", 0)):
            assert named(back, where) == named(other, where) == named(table, where)
    assert same.add([chunk_of("new", "text")]).tolist()[0] in range(10, 90)


def named(table: RowTable, where: Filter | None) -> list[str]:
    alive = table.alive(where)
    return sorted(chunk_id for chunk_id, live in zip(table.ids, alive, strict=True) if live)
