from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ragstack import Stack
from ragstack.catalog.lock import WriteLock
from ragstack.errors import BaseLocked, DiskFull
from ragstack.pipeline import intake
from ragstack.pipeline import sync as syncing
from ragstack.pipeline.places import places_of
from ragstack.pipeline.sync import KIND, Synced, sync_place
from ragstack.pipeline.turns import Bounds, alone, in_batches, turn
from ragstack.pipeline.verify import verify
from ragstack.pipeline.visit import BATCH
from ragstack.types import Gone, Source

ONE = Bounds(count=1)
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """What no `except Exception` catches."""


class Tape:
    """A connector that calls ``between`` before each source, and honours since and known."""

    held: ClassVar[dict[str, str]] = {}
    between: ClassVar[Any] = None

    def __init__(self) -> None:
        self.present: frozenset[str] | None = None
        self.known: Any = None

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        self.present = None
        for uri, text in dict(self.held).items():
            if since is not None and self.known is not None and uri in self.known:
                continue  # all here is old
            if Tape.between is not None:
                Tape.between(uri)
            yield Source(uri, text.encode(), "text/plain", LONG_AGO)
        self.present = frozenset(self.held)


@pytest.fixture(autouse=True)
def tape(foreign_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> type[Tape]:
    held = {f"x:{name}": f"The {name} hums." for name in ("ant", "bee", "cat", "dog")}
    monkeypatch.setattr(Tape, "held", held)
    monkeypatch.setattr(Tape, "between", None)
    foreign_plugin("connectors", "tape", f"{__name__}:Tape")
    return Tape


def opened(folder: Path) -> Stack:
    overrides: dict[str, Any] = {
        "embed": {"use": "hashing", "dimensions": 32},
        "chunk": {"use": "fixed"},
        "sync": {"tape": {"use": "tape"}},
    }
    return Stack.open(folder / "kb", overrides=overrides)


def synced(stack: Stack, bounds: Bounds = ONE) -> Synced:
    (place,) = places_of(stack.config.sync)
    return sync_place(stack, place, bounds=bounds)


def held(stack: Stack) -> list[str]:
    return [info.source for info in stack.documents() if info.source.startswith("x:")]


def test_another_writer_has_its_turn_between_two_batches(tmp_path: Path) -> None:
    told: list[int] = []

    def between(uri: str) -> None:
        path = tmp_path / f"{uri[2:]}.txt"
        path.write_text(f"A letter about the {uri[2:]}.")
        with opened(tmp_path) as other:
            other.ingest(path)
            told.append(len(held(other)))

    Tape.between = between
    with opened(tmp_path) as stack:
        assert synced(stack).error == ""
        assert told == [0, 1, 2, 3]  # each batch was written before the next source was asked for
        assert len(stack.documents()) == 8
        assert len(stack.search("letter", k=20)) == 8
        assert verify(stack, sample=None).ok
    with opened(tmp_path) as fresh:
        found = {passage.source.rpartition("/")[2] for passage in fresh.search("letter", k=4)}
        assert found == {"ant.txt", "bee.txt", "cat.txt", "dog.txt"}


def test_the_report_is_of_all_batches(tmp_path: Path) -> None:
    with opened(tmp_path) as stack:
        first = synced(stack)
        assert first.report.added == tuple(Tape.held)
        assert first.report.chunks == 4
        assert stack.parts.catalog.records(BATCH) == []
        del Tape.held["x:bee"]
        second = synced(stack)
        assert (second.report.added, second.report.removed) == ((), ("x:bee",))


def test_who_writes_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lock = WriteLock(tmp_path / "kb")

    def between(uri: str) -> None:
        if uri == "x:bee":
            lock.acquire()
            threading.Timer(0.4, lock.release).start()

    Tape.between = between
    with opened(tmp_path) as stack:
        assert synced(stack).error == ""
        assert len(held(stack)) == 4
    assert "is writing to" in caplog.text


def test_but_not_for_ever(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)

    @contextmanager
    def writing() -> Iterator[None]:
        with WriteLock(tmp_path):
            yield

    begun = time.monotonic()
    with lock, pytest.raises(BaseLocked), turn(writing, patience_s=0.3):
        raise AssertionError
    assert 0.3 <= time.monotonic() - begun < 5
    with turn(writing, patience_s=0.0):
        pass


def test_one_place_is_synced_once_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path) as stack:
        with alone(stack.folder, "tape"):
            found = synced(stack)
            assert "'tape' is being synced already" in found.error
            assert "wait" in found.hint
            assert held(stack) == []
        with alone(stack.folder, "another"):
            assert synced(stack).error == ""


def test_what_was_stored_before_a_kill_is_known_when_it_goes(tmp_path: Path) -> None:
    def between(uri: str) -> None:
        if uri == "x:cat":
            raise Killed

    with opened(tmp_path) as stack:
        Tape.between = between
        with pytest.raises(Killed):
            synced(stack)
        assert held(stack) == ["x:ant", "x:bee"]
        assert stack.parts.catalog.record(KIND, "tape") is None
    Tape.between = None
    del Tape.held["x:ant"]
    with opened(tmp_path) as stack:
        found = synced(stack).report
        assert (found.removed, found.unchanged) == (("x:ant",), ("x:bee",))
        assert found.added == ("x:cat", "x:dog")
        assert verify(stack, sample=None).ok


def test_what_was_not_stored_before_a_kill_is_asked_for_however_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as stack:
        synced(stack)
        Tape.held["x:eel"] = "The eel is silent."

        def killed(*_: Any) -> Any:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(syncing, "take", killed)
            with pytest.raises(Killed):
                synced(stack)
        assert stack.parts.catalog.records(BATCH)
    with opened(tmp_path) as stack:
        assert synced(stack).report.added == ("x:eel",)
        assert stack.parts.catalog.records(BATCH) == []


def test_a_full_disk_forgets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []

    def full(*given: Any) -> Any:
        if len(taken) == 2:
            raise DiskFull("no space is left for the catalog")
        taken.append(given)
        return intake.take(*given)

    with opened(tmp_path) as stack:
        with monkeypatch.context() as patch:
            patch.setattr(syncing, "take", full)
            found = synced(stack)
        assert "no space is left" in found.error
        assert found.report.added == ("x:ant", "x:bee")
        record = stack.parts.catalog.record(KIND, "tape")
        assert record is not None and record.body["seen"] == ["x:ant", "x:bee"]
        again = synced(stack).report
        assert (again.added, again.unchanged) == (("x:cat", "x:dog"), ("x:ant", "x:bee"))


def test_batches() -> None:
    sizes = [1, 1, 5, 1, 1, 1]
    by_count = in_batches(sizes, lambda n: n, Bounds(count=4))
    assert list(by_count) == [[1, 1, 5, 1], [1, 1]]
    by_size = in_batches(sizes, lambda n: n, Bounds(size=3))
    assert list(by_size) == [[1, 1, 5], [1, 1, 1]]
    by_time = in_batches(sizes, lambda n: n, Bounds(seconds=0.0))
    assert list(by_time) == [[n] for n in sizes]
    assert list(in_batches([], lambda n: n, Bounds())) == []
    assert [len(batch) for batch in in_batches([1] * 1_025, lambda n: n, Bounds())] == [512, 512, 1]
