"""Documents are taken in while others are indexed: side by side, in order, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import pytest

from ragstack import Source, Stack
from ragstack.errors import DiskFull
from ragstack.index.bm25.index import Bm25Index
from ragstack.pipeline.catchup import catch_up
from ragstack.pipeline.indexing import Indexing
from ragstack.pipeline.ingest import Step
from ragstack.types import Chunk

OpenStack = Callable[..., Stack]
WAIT_S = 30.0
SMALL = {"ingest": {"batch": 4}}


class Many:
    """A connector of small documents, which says how many were asked for."""

    def __init__(self, count: int) -> None:
        self.count, self.given = count, 0

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source]:
        for number in range(self.count):
            self.given += 1
            yield Source(f"place://{number}", f"apples number {number}".encode(), "text/plain")


def test_documents_come_in_while_others_are_indexed(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, begin, commit = Many(60), Indexing.begin, Bm25Index.commit
    begun, more, here = [], threading.Event(), threading.current_thread()

    def begins(indexing: Indexing) -> None:
        begun.append(place.given)
        begin(indexing)

    def waits(index: Bm25Index, position: int) -> None:
        """Index a batch no sooner than another document has come."""
        end = time.monotonic() + WAIT_S
        while begun and not more.is_set() and time.monotonic() < end:
            if threading.current_thread() is not here and place.given > begun[-1]:
                more.set()
            time.sleep(0.01)
        commit(index, position)

    monkeypatch.setattr(Indexing, "begin", begins)
    monkeypatch.setattr(Bm25Index, "commit", waits)
    stack = open_stack(overrides=SMALL)
    report = stack.ingest(place)
    assert more.is_set(), "nothing was taken in while an index was at work"
    assert len(report.added) == 60
    assert len(stack.search("apples", k=100)) == 60
    assert {index["behind"] for index in stack.stats()["indexes"].values()} == {0}


def test_progress_is_told_by_one_thread_at_a_time(open_stack: OpenStack) -> None:
    at_once, most, kinds = 0, 0, []

    def told(step: Step) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.002)
        kinds.append(step.kind)
        at_once -= 1

    stack = open_stack(overrides=SMALL)
    stack.ingest(Many(40), progress=told)
    assert most == 1
    assert kinds.count("added") == 40
    assert kinds.index("indexed") < len(kinds) - 1 - kinds[::-1].index("added")


def test_an_index_that_fails_ends_the_run_and_is_filled_later(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_index: Bm25Index, _position: int) -> None:
        raise OSError(28, "No space left on device")

    stack, place = open_stack(overrides=SMALL), Many(5_000)
    with monkeypatch.context() as patched:
        patched.setattr(Bm25Index, "commit", full)
        with pytest.raises(DiskFull):
            stack.ingest(place)
    assert place.given < 5_000, "it went on though nothing could be indexed"
    kept = len(stack.documents())
    assert kept >= 4
    stack.catch_up()
    assert len(stack.search("apples", k=100)) == min(kept, 100)


def test_what_fails_beside_is_raised_at_the_next_step() -> None:
    calls: list[str] = []

    def index() -> None:
        calls.append(threading.current_thread().name)
        raise DiskFull("no space is left for the index")

    with Indexing(index) as indexing:
        indexing.begin()
        with pytest.raises(DiskFull):
            indexing.begin()
        assert len(calls) == 1
        with pytest.raises(DiskFull):
            indexing.finish()
    assert calls[1] == threading.current_thread().name
    assert calls[0].startswith("ragstack-index")


def test_the_end_waits_for_what_is_at_work() -> None:
    done = threading.Event()
    go = threading.Event()

    def index() -> None:
        assert go.wait(WAIT_S)
        done.set()

    with pytest.raises(KeyboardInterrupt), Indexing(index) as indexing:
        indexing.begin()
        threading.Timer(0.1, go.set).start()
        raise KeyboardInterrupt
    assert done.is_set()


def test_catching_up_ends_though_more_comes_in(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = open_stack(overrides=SMALL)
    stack.ingest(Many(10))
    catalog = stack.parts.catalog
    document = catalog.document(stack.documents()[0].id, collection="default")
    chunks = catalog.chunks_of(document.id, collection="default")
    index, add = stack.parts.indexes("default")["lexical"], Bm25Index.add
    rounds = 0

    def put_again() -> None:
        catalog.remove([document.id], collection="default")
        catalog.put(document, chunks, collection="default", origin="again")

    def more(held: Bm25Index, added: Sequence[Chunk]) -> None:
        nonlocal rounds
        rounds += 1
        assert rounds < 50, "it never ends"
        add(held, added)
        put_again()

    monkeypatch.setattr(Bm25Index, "add", more)
    put_again()
    assert catch_up(catalog, index, collection="default", batch=4) == 1
    assert rounds == 1
    assert index.position < catalog.position(collection="default")
