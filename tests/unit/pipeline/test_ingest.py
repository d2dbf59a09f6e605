from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from ragstack import Gone, Source, Stack
from ragstack.errors import NotFound
from ragstack.testing.samples import PdfLine, pdf_bytes
from ragstack.types import Failure

OpenStack = Callable[..., Stack]


class Place:
    """A connector that yields what it is told to, and fails on the rest."""

    def __init__(self, *items: Source | Gone, failures: tuple[Failure, ...] = ()) -> None:
        self.items = items
        self.failures = failures

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        yield from self.items


def source(name: str, text: str = "Some text.", **more: object) -> Source:
    return Source(f"place://{name}", text.encode(), "text/plain", **more)  # type: ignore[arg-type]


def test_sources_of_a_connector_keep_their_address(open_stack: OpenStack) -> None:
    stack = open_stack()
    report = stack.ingest(Place(source("a"), source("b")))
    assert report.added == ("place://a", "place://b")
    assert {info.source for info in stack.documents()} == {"place://a", "place://b"}


def test_what_a_connector_says_is_gone_goes(open_stack: OpenStack) -> None:
    stack = open_stack()
    stack.ingest(Place(source("a"), source("b")))
    report = stack.ingest(Place(Gone("place://a"), Gone("place://never")))
    assert report.removed == ("place://a",)
    assert [info.source for info in stack.documents()] == ["place://b"]


def test_what_a_connector_does_not_mention_stays(open_stack: OpenStack) -> None:
    stack = open_stack()
    stack.ingest(Place(source("a"), source("b")))
    assert stack.ingest(Place(source("b"))).removed == ()


def test_a_connectors_failures_are_reported(open_stack: OpenStack) -> None:
    failure = Failure("place://c", "timed out")
    report = open_stack().ingest(Place(source("a"), failures=(failure,)))
    assert report.failed == (failure,)
    assert report.added == ("place://a",)


def test_a_source_met_twice_is_taken_once(open_stack: OpenStack) -> None:
    report = open_stack().ingest(Place(source("a", "one"), source("a", "two")))
    assert report.added == ("place://a",)
    assert report.chunks == 1


def test_metadata_of_source_and_caller_join(open_stack: OpenStack) -> None:
    stack = open_stack()
    stack.ingest(Place(source("a", meta={"team": "x", "title": "T"})), meta={"team": "y"})
    (info,) = stack.documents()
    assert info.meta["team"] == "y"
    assert info.meta["title"] == "T"


def test_readers_of_a_source_are_kept(open_stack: OpenStack) -> None:
    stack = open_stack()
    stack.ingest(Place(source("a", "apples", readers=("ana",))))
    assert stack.search("apples") == []
    assert len(stack.search("apples", asker=["ana"])) == 1


def test_a_connector_that_breaks_loses_nothing_that_came_before(open_stack: OpenStack) -> None:
    class Broken(Place):
        def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
            for number in range(12):
                yield source(f"n{number}", f"apples {number}")
            raise ConnectionError("the place went away")

    stack = open_stack()
    with pytest.raises(ConnectionError):
        stack.ingest(Broken())
    found = len(stack.documents())
    assert found >= 7
    assert len(stack.search("apples", k=50)) == found


def test_another_way_of_cutting_cuts_again(open_stack: OpenStack, corpus_folder: Path) -> None:
    open_stack().ingest(corpus_folder)
    small = {"chunk": {"use": "fixed", "size": 16, "overlap": 0}}
    stack = open_stack(overrides=small)
    before = stack.stats()["chunks"]
    report = stack.ingest(corpus_folder)
    assert len(report.updated) == stack.stats()["documents"]
    assert stack.stats()["chunks"] > before
    assert {i["chunks"] for i in stack.stats()["indexes"].values()} == {stack.stats()["chunks"]}


def test_several_paths_in_one_call(open_stack: OpenStack, corpus_folder: Path) -> None:
    stack = open_stack()
    report = stack.ingest(corpus_folder / "bees.txt", corpus_folder / "ferry.md")
    assert len(report.added) == 2


def test_a_path_that_is_not_there_takes_nothing_in(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    stack = open_stack()
    with pytest.raises(NotFound):
        stack.ingest(corpus_folder, corpus_folder / "missing.txt")
    assert stack.documents() == []


def test_what_could_not_be_read_of_a_document_is_reported(open_stack: OpenStack) -> None:
    page: list[PdfLine] = [(60, 100, 12, "Bees make honey from what flowers give.")]
    data = pdf_bytes([page, page])
    at = data.rindex(b"<< /Type /Page /Parent")
    broken = data[:at] + b"null %" + data[at + 6 :]
    report = open_stack().ingest(Place(Source("place://a.pdf", broken)))
    assert report.added == ("place://a.pdf",)
    assert report.failed == ()
    said = [(failure.source, failure.reason.partition(":")[0]) for failure in report.incomplete]
    assert said == [("place://a.pdf", "page 2")]
