from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ragstack import Stack, registry
from ragstack.config import Config, load
from ragstack.errors import ConfigError, InputError
from ragstack.pipeline.places import places_of, seconds_of
from ragstack.pipeline.sync import KIND, waits
from ragstack.types import Failure, Gone, Source

PLAIN: dict[str, Any] = {
    "embed": {"use": "hashing"},
    "index": {"lexical": {"use": "bm25"}, "vector": {"use": "none"}},
    "chunk": {"use": "fixed"},
}


class Shelf:
    """A connector of a test: what it holds stands on the class, as it does in a place."""

    held: ClassVar[dict[str, str]] = {}
    failing: tuple[str, ...] = ()
    asked: ClassVar[list[datetime | None]] = []
    error: Exception | None = None

    def __init__(self, *, label: str = "") -> None:
        self.failures: list[Failure] = []

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        Shelf.asked.append(since)
        self.failures = [Failure(uri, "torn") for uri in self.failing]
        for uri, text in self.held.items():
            if uri not in self.failing:
                yield Source(uri, text.encode(), "text/plain")
        if self.error is not None:
            raise self.error


class Teller(Shelf):
    """One that says what is there, and remembers a count."""

    def __init__(self, *, label: str = "") -> None:
        super().__init__(label=label)
        self.present: frozenset[str] | None = None
        self.known: Any = None
        self.state: dict[str, Any] = {}

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        self.state = {"times": self.state.get("times", 0) + 1}
        for each in super().fetch(since=since):
            if since is None or each.uri not in (self.known or ()):
                yield each
        self.present = frozenset(self.held)


@pytest.fixture(autouse=True)
def shelf(foreign_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> type[Shelf]:
    here = f"{__name__}:"
    monkeypatch.setattr(Shelf, "held", {"x:a": "The ferry goes at nine.", "x:b": "Bees hum."})
    for name, value in (("failing", ()), ("asked", []), ("error", None)):
        monkeypatch.setattr(Shelf, name, value)
    foreign_plugin("connectors", "shelf", here + "Shelf")
    foreign_plugin("connectors", "teller", here + "Teller")
    return Shelf


def opened(folder: Path, **places: Any) -> Stack:
    return Stack.open(folder / "kb", overrides={**PLAIN, "sync": places})


def held(stack: Stack, collection: str = "default") -> list[str]:
    return [info.source for info in stack.documents(collection=collection)]


def test_a_place_is_brought_in_and_what_went_goes(tmp_path: Path, shelf: Any) -> None:
    with opened(tmp_path, books={"use": "shelf"}) as stack:
        (first,) = stack.sync()
        assert (first.name, first.error, first.report.added) == ("books", "", ("x:a", "x:b"))
        shelf.held = {"x:b": "Bees hum.", "x:c": "New."}
        (second,) = stack.sync("books")
        assert second.report.removed == ("x:a",)
        assert (second.report.added, second.report.unchanged) == (("x:c",), ("x:b",))
        assert held(stack) == ["x:b", "x:c"]
        assert stack.search("ferry") == []
        # It cannot say what is there, so it was asked for everything both times.
        assert shelf.asked == [None, None]


def test_one_that_says_what_is_there_is_asked_for_what_changed(tmp_path: Path, shelf: Any) -> None:
    with opened(tmp_path, books={"use": "teller"}) as stack:
        stack.sync()
        shelf.held = {"x:b": "Bees hum.", "x:c": "New."}
        (second,) = stack.sync()
        assert (second.report.added, second.report.removed) == (("x:c",), ("x:a",))
        assert second.report.unchanged == ()
        assert shelf.asked[0] is None
        assert (datetime.now(UTC) - shelf.asked[1]).total_seconds() < 300
        record = stack.parts.catalog.record(KIND, "books")
        assert record is not None and record.body["state"] == {"times": 2}
        (full,) = stack.sync(full=True)
        assert shelf.asked[2] is None and full.report.unchanged == ("x:b", "x:c")


def test_what_failed_is_not_gone_and_is_asked_for_again(tmp_path: Path, shelf: Any) -> None:
    for use in ("shelf", "teller"):
        with opened(tmp_path, **{use: {"use": use, "collection": use}}) as stack:
            shelf.failing = ()
            stack.sync()
            shelf.failing = ("x:a",)
            (second,) = stack.sync()
            assert second.report.failed == (Failure("x:a", "torn"),)
            assert held(stack, use) == ["x:a", "x:b"]
            shelf.failing = ()
            (third,) = stack.sync()
            assert "x:a" in third.report.unchanged


def test_one_that_fails_stops_no_other(tmp_path: Path, shelf: Any) -> None:
    shelf.error = RuntimeError("the password is open-sesame")
    places = {"none": {"use": "nothing"}, "bad": {"use": "shelf"}, "files": {"use": "files"}}
    (tmp_path / "a.txt").write_text("A text of its own.")
    places["files"]["paths"] = [str(tmp_path / "a.txt")]  # type: ignore[assignment]
    with opened(tmp_path, **places) as stack:
        none, bad, files = stack.sync()
        assert "no connector is named 'nothing'" in none.error
        assert bad.report.added == ("x:a", "x:b")
        assert bad.error == "the connector 'shelf' failed: RuntimeError"
        assert len(files.report.added) == 1
        # What came before the failure is stored, and noticed when it goes.
        assert "x:a" in held(stack)
        shelf.error, shelf.held = None, {"x:b": "Bees hum."}
        (again,) = stack.sync("bad")
        assert again.report.removed == ("x:a",)


def test_a_place_that_is_suddenly_empty_is_not_believed(tmp_path: Path, shelf: Any) -> None:
    with opened(tmp_path, books={"use": "shelf"}) as stack:
        stack.sync()
        shelf.held = {}
        (second,) = stack.sync()
        assert "is empty, and held 2 sources before" in second.error
        assert "--full books" in second.hint
        assert len(held(stack)) == 2
        (third,) = stack.sync(full=True)
        assert third.error == "" and held(stack) == []


def test_what_another_place_holds_too_stays(tmp_path: Path, shelf: Any) -> None:
    with opened(tmp_path, one={"use": "shelf"}, two={"use": "teller"}) as stack:
        stack.sync()
        shelf.held = {"x:b": "Bees hum."}
        stack.sync("one")
        assert held(stack) == ["x:a", "x:b"]
        stack.sync("two")
        assert held(stack) == ["x:b"]


def test_other_options_ask_for_everything(tmp_path: Path, shelf: Any) -> None:
    with opened(tmp_path, books={"use": "teller"}) as stack:
        stack.sync()
    changed = {"use": "teller", "label": "new", "readers": ["ann"], "meta": {"shelf": 3}}
    with opened(tmp_path, books=changed) as stack:
        (second,) = stack.sync()
        assert shelf.asked == [None, None]
        assert second.report.updated == ("x:a", "x:b")
        assert stack.documents()[0].readers == ("ann",)
        assert stack.documents()[0].meta["shelf"] == 3
        assert stack.search("ferry", asker=("ben",)) == []


def test_an_old_file_that_is_moved_into_the_folder_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("First.")
    with opened(tmp_path, docs={"use": "files", "paths": [str(folder)]}) as stack:
        stack.sync()
        os.utime(folder / "a.txt", (1_500_000_000, 1_500_000_000))
        stack.sync()
        old = folder / "old.txt"
        old.write_text("Written long ago.")
        os.utime(old, (1_000_000_000, 1_000_000_000))
        (third,) = stack.sync()
        assert third.report.added == (old.resolve().as_posix(),)
        assert third.report.unchanged == ()
        (folder / "a.txt").unlink()
        (fourth,) = stack.sync()
        assert len(fourth.report.removed) == 1


def test_waits(tmp_path: Path) -> None:
    places = {"a": {"use": "shelf", "every": "2h"}, "b": {"use": "shelf"}, "c": {"use": "shelf"}}
    with opened(tmp_path, **places) as stack:
        stack.sync("a", "b")
        found = waits(stack.parts.catalog, places_of(places), 60.0)
        assert 7_100 < found["a"] <= 7_200 and 50 < found["b"] <= 60 and found["c"] == 0.0


def test_places_are_configured_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "ragstack.toml").write_text(
        '[sync.wiki]\nuse = "web"\nurls = ["https://example.org"]\nevery = "15m"\nreaders = ["a"]\n'
    )
    (place,) = places_of(load(tmp_path).sync)
    assert (place.use, place.every_s, place.readers) == ("web", 900.0, ("a",))
    assert dict(place.options) == {"urls": ["https://example.org"]}
    assert "example.org" not in repr(place)
    assert Config().sync == {}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "names no connector"),
        ({"use": "web", "readers": "ann"}, "list of names"),
        ({"use": "web", "every": "often"}, "30s, 15m"),
        ({"use": "web", "collection": ""}, "name was expected"),
        ({"use": "web", "meta": {"a": []}}, "metadata"),
        ({"use": "web", "meta": 3}, "table was expected"),
    ],
)
def test_tables_that_cannot_be_used(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        places_of({"a": table})


def test_a_place_that_is_not_configured() -> None:
    with pytest.raises(ConfigError, match="known: books") as raised:
        places_of({"books": {"use": "web"}}, ["boks"])
    assert "did you mean 'books'" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), (" 1.5h ", 5_400), ("1d", 86_400)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "0s", "-1m", "m", 15, "15 minutes"])
def test_times_that_are_none(text: Any) -> None:
    with pytest.raises(InputError, match="30s"):
        seconds_of(text)


def test_a_burst_of_changes_is_told_once(tmp_path: Path) -> None:
    stop = threading.Event()
    (tmp_path / ".git").mkdir()
    (tmp_path / "kb").mkdir()
    bursts = registry.load("watchers", "files")([tmp_path], ignore=[tmp_path / "kb"], stop=stop)
    next(bursts)  # the watch stands

    def write() -> None:
        (tmp_path / ".git" / "x").write_text("not ours")
        (tmp_path / "kb" / "x").write_text("the base's own")
        time.sleep(1.0)
        told.append("nothing yet" if not told else "told too soon")
        for number in range(5):
            (tmp_path / f"{number}.txt").write_text("ours")

    told: list[str] = []
    writer = threading.Thread(target=write)
    writer.start()
    next(bursts)
    assert told == ["nothing yet"]
    writer.join()
    stop.set()
    assert list(bursts) == []
