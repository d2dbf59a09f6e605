"""The promises of a catalog, as tests: subclass ``CatalogSuite`` and write ``make``."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from ragstack.errors import BaseError, InputError
from ragstack.protocols import Catalog
from ragstack.types import Change, Chunk, Document, Mark, Record, Turn, document_id_of

__all__ = ["CatalogSuite", "chunks_in", "document_of"]

ODD = "a\x00b \ud800\udc00 \udfff é 😀 日本 \u2028\r\n"
"""A NUL, surrogates that a file name may hold, characters of one to four bytes."""

MARKS = (
    Mark("heading", 0, 9, "Title " + ODD, level=1),
    Mark("page", 0, 30, page=3, box=(0.5, 1.0, 20.25, 700.0)),
    Mark("time", 5, 8, seconds=1.5),
)


def document_of(source: str, text: str, **more: object) -> Document:
    """Return a document; ``more`` are fields of Document."""
    return replace(Document(document_id_of(source), text, source), **more)  # type: ignore[arg-type]


def chunks_in(document: Document, size: int, **more: object) -> list[Chunk]:
    """Return the document cut every ``size`` characters; ``more`` are fields of Chunk."""
    version, text = document.version, document.text
    plain = [
        Chunk(document.id, version, start, min(start + size, len(text)), text[start : start + size])
        for start in range(0, len(text), size)
    ]
    return [replace(chunk, **more) for chunk in plain]  # type: ignore[arg-type]


class CatalogSuite(ABC):
    """What every catalog promises."""

    @abstractmethod
    def make(self, folder: Path) -> Catalog:
        """Return the catalog that is kept in this folder: a new one, or the one there."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Catalog]]:
        """A function that opens the same catalog once more; all are closed after the test."""
        made: list[Catalog] = []

        def make() -> Catalog:
            made.append(self.make(tmp_path))
            return made[-1]

        yield make
        for catalog in made:
            catalog.close()

    @pytest.fixture
    def catalog(self, opened: Callable[[], Catalog]) -> Catalog:
        """A new catalog."""
        return opened()

    def test_new_catalog_is_empty(self, catalog: Catalog) -> None:
        """Asking for what is not there gives nothing and creates nothing."""
        assert catalog.collections() == []
        assert catalog.counts(collection="c") == (0, 0)
        assert list(catalog.documents(collection="c")) == []
        assert catalog.document("x", collection="c") is None
        assert catalog.chunks(["x"], collection="c") == {}
        assert catalog.chunks([], collection="c") == {}
        assert catalog.chunks_of("x", collection="c") == []
        assert catalog.sources(["x"], collection="c") == {}
        assert catalog.remove(["x"], collection="c") == 0
        assert (catalog.position(collection="c"), catalog.floor(collection="c")) == (0, 0)
        assert catalog.changes(collection="c", after=0, limit=9) == []

    def test_what_is_put_comes_back(self, catalog: Catalog) -> None:
        """Every field, of document and chunks, whatever text and scalars they hold."""
        meta = {"title": ODD, ODD: "x", "n": 2**70, "f": 0.1, "t": True, "none": None, "one": 1.0}
        document = document_of(
            "/tmp/" + ODD, ODD * 999, meta=meta, marks=MARKS, readers=(ODD, "group:staff")
        )
        chunks = chunks_in(document, 700, context=ODD, kind=ODD, meta=meta, readers=(ODD,))
        catalog.put(document, chunks, collection=ODD, origin=ODD)
        back = catalog.document(document.id, collection=ODD)
        assert back == document
        assert repr(dict(sorted(back.meta.items()))) == repr(dict(sorted(meta.items())))
        assert catalog.chunks_of(document.id, collection=ODD) == chunks
        ids = [chunk.id for chunk in reversed(chunks)]
        found = catalog.chunks([*ids, "unknown"], collection=ODD)
        assert found == {chunk.id: chunk for chunk in chunks}
        assert list(found) == ids
        assert catalog.sources([document.id, "unknown"], collection=ODD) == {
            document.id: document.source
        }
        (info,) = catalog.documents(collection=ODD)
        assert (info.id, info.source, info.digest) == (
            document.id,
            document.source,
            document.digest,
        )
        assert (info.origin, info.meta, info.readers) == (ODD, meta, document.readers)
        assert (info.length, info.chunks) == (len(document.text), len(chunks))
        assert catalog.collections() == [ODD]

    def test_spans_of_any_place_and_length(self, catalog: Catalog) -> None:
        """A chunk's text is the document's, also where storage cuts it somewhere else."""
        document = document_of("s", "".join(chr(0x4E00 + i % 20_000) for i in range(50_000)))
        spans = [(0, 1), (0, 50_000), (1_279, 1_281), (49_999, 50_000), (12_345, 34_567), (7, 7)]
        chunks = [
            Chunk(document.id, document.version, start, end, document.text[start:end])
            for start, end in spans
        ]
        catalog.put(document, chunks, collection="c", origin="")
        found = catalog.chunks([chunk.id for chunk in chunks], collection="c")
        assert [found[chunk.id] for chunk in chunks] == chunks
        assert catalog.chunks_of(document.id, collection="c") == sorted(
            chunks, key=lambda chunk: (chunk.start, chunk.end)
        )

    def test_put_replaces(self, catalog: Catalog) -> None:
        """Another version under the same id: the old chunks are gone, the counts are new."""
        old, new = document_of("s", "old " * 500), document_of("s", "new " * 200)
        catalog.put(old, chunks_in(old, 100), collection="c", origin="1")
        catalog.put(new, chunks_in(new, 100), collection="c", origin="2")
        assert catalog.document(new.id, collection="c") == new
        assert catalog.counts(collection="c") == (1, 8)
        assert catalog.chunks_of(new.id, collection="c") == chunks_in(new, 100)
        assert catalog.chunks([chunk.id for chunk in chunks_in(old, 100)], collection="c") == {}

    def test_remove(self, catalog: Catalog) -> None:
        """Document, chunks and text go; the unknown and the twice named count for nothing."""
        one, two = document_of("1", "one " * 900), document_of("2", "two")
        for document in (one, two):
            catalog.put(document, chunks_in(document, 50), collection="c", origin="")
        assert catalog.remove([one.id, "unknown", one.id], collection="c") == 1
        assert catalog.document(one.id, collection="c") is None
        assert catalog.chunks([chunks_in(one, 50)[0].id], collection="c") == {}
        assert catalog.counts(collection="c") == (1, 1)
        assert catalog.remove([two.id], collection="other") == 0
        assert catalog.remove([two.id], collection="c") == 1
        assert catalog.collections() == []

    def test_collections_are_apart(self, catalog: Catalog) -> None:
        """The same document in two collections is two; each has its own journal."""
        document = document_of("s", "text " * 10)
        for name in ("b", "a"):
            catalog.put(document, chunks_in(document, 10), collection=name, origin="")
        assert catalog.collections() == ["a", "b"]
        assert len(catalog.changes(collection="a", after=0, limit=99)) == 5
        catalog.remove([document.id], collection="a")
        assert catalog.counts(collection="b") == (1, 5)
        assert len(catalog.changes(collection="b", after=0, limit=99)) == 5

    def test_documents_come_by_source(self, catalog: Catalog) -> None:
        """In order, whatever the number; writing between two of them is allowed."""
        for number in range(1_203):
            document = document_of(f"s{number:05}", "text")
            catalog.put(document, [], collection="c", origin="")
        seen = []
        for info in catalog.documents(collection="c"):
            seen.append(info.source)
            catalog.remove([info.id], collection="c")
        assert seen == [f"s{number:05}" for number in range(1_203)]
        assert catalog.counts(collection="c") == (0, 0)

    def test_wrong_chunks_are_refused_and_nothing_changes(self, catalog: Catalog) -> None:
        """Not a span of the document, of another version or document, twice the same id."""
        document = document_of("s", "some text")
        (chunk,) = chunks_in(document, 99)
        catalog.put(document, [chunk], collection="c", origin="1")
        position = catalog.position(collection="c")
        wrong: Sequence[Sequence[Chunk]] = (
            [replace(chunk, text="some texT")],
            [replace(chunk, start=-3)],
            [replace(chunk, version="ffffffff")],
            [replace(chunk, document_id="x")],
            [chunk, chunk],
            [replace(chunk, meta={"a": [1]})],  # type: ignore[dict-item]
            [replace(chunk, readers="ann")],  # type: ignore[arg-type]
        )
        for chunks in wrong:
            with pytest.raises(InputError):
                catalog.put(document, chunks, collection="c", origin="2")
        with pytest.raises(InputError):
            catalog.put(document, [chunk], collection="", origin="2")
        (info,) = catalog.documents(collection="c")
        assert (info.origin, catalog.position(collection="c")) == ("1", position)
        assert catalog.chunks_of(document.id, collection="c") == [chunk]

    def test_lone_string_is_refused(self, catalog: Catalog) -> None:
        """A str is a sequence of letters, never what was meant."""
        for call in (catalog.remove, catalog.chunks, catalog.sources):
            with pytest.raises(InputError):
                call("abc", collection="c")

    def test_journal_tells_what_came_and_went(self, catalog: Catalog) -> None:
        """In order, positions rising; following it gives the chunks that are there."""
        versions = [document_of("s", text) for text in ("first " * 50, "second " * 40)]
        for document in versions:
            catalog.put(document, chunks_in(document, 60), collection="c", origin="")
        there: set[str] = set()
        after = 0
        while found := catalog.changes(collection="c", after=after, limit=3):
            assert len(found) <= 3
            for change in found:
                assert change.position > after
                after = change.position
                (there.add if change.added else there.discard)(change.chunk_id)
        assert after == catalog.position(collection="c")
        assert there == {chunk.id for chunk in chunks_in(versions[1], 60)}
        catalog.remove([versions[1].id], collection="c")
        gone = catalog.changes(collection="c", after=after, limit=99)
        assert {change.chunk_id for change in gone if not change.added} == there

    def test_what_stays_is_not_in_the_journal(self, catalog: Catalog) -> None:
        """The same chunk again is no change; other context, metadata or readers are."""
        document = document_of("s", "text " * 20)
        chunks = chunks_in(document, 25, meta={"a": 1})
        catalog.put(document, chunks, collection="c", origin="1")
        start = catalog.position(collection="c")
        catalog.put(document, chunks, collection="c", origin="2")
        assert catalog.position(collection="c") == start
        changed = [
            chunks[0],
            replace(chunks[1], context="new"),
            replace(chunks[2], meta={"a": True}),
            replace(chunks[3], readers=("ann",)),
        ]
        catalog.put(document, changed, collection="c", origin="3")
        found = catalog.changes(collection="c", after=start, limit=99)
        assert {change.chunk_id for change in found} == {chunk.id for chunk in changed[1:]}
        assert all(change.added for change in found)
        assert catalog.chunks_of(document.id, collection="c") == changed

    def test_positions_are_never_given_again(
        self, catalog: Catalog, opened: Callable[[], Catalog]
    ) -> None:
        """Not after forgetting everything, nor after closing; the position itself stays."""
        document = document_of("s", "text")
        catalog.put(document, chunks_in(document, 9), collection="c", origin="")
        catalog.remove([document.id], collection="c")
        last = catalog.position(collection="c")
        catalog.forget(collection="c", upto=last)
        assert catalog.position(collection="c") == last
        assert catalog.changes(collection="c", after=0, limit=9) == []
        catalog.close()
        again = opened()
        assert (again.position(collection="c"), again.floor(collection="c")) == (last, last)
        again.put(document, chunks_in(document, 9), collection="c", origin="")
        (change,) = again.changes(collection="c", after=0, limit=9)
        assert change == Change(last + 1, chunks_in(document, 9)[0].id, True)

    def test_forget_moves_the_floor(self, catalog: Catalog) -> None:
        """Never down, never beyond what happened, and only in its collection."""
        document = document_of("s", "text " * 4)
        for name in ("c", "d"):
            catalog.put(document, chunks_in(document, 5), collection=name, origin="")
        catalog.forget(collection="c", upto=2)
        assert catalog.floor(collection="c") == 2
        assert [x.position for x in catalog.changes(collection="c", after=0, limit=9)] == [3, 4]
        catalog.forget(collection="c", upto=1)
        assert catalog.floor(collection="c") == 2
        catalog.forget(collection="c", upto=10**9)
        assert catalog.floor(collection="c") == catalog.position(collection="c") == 4
        assert catalog.floor(collection="d") == 0
        assert len(catalog.changes(collection="d", after=0, limit=9)) == 4

    def test_conversations(self, catalog: Catalog, opened: Callable[[], Catalog]) -> None:
        """Turns in order, the latest chat first, summaries of what there is, deleted for good."""
        first, second = Turn("q " + ODD, ODD, "standalone"), Turn("And then?", "")
        assert (catalog.turns("x"), catalog.summary("x"), catalog.chats()) == ([], ("", 0), [])
        for chat, turn in ((ODD, first), ("b", second), (ODD, second)):
            catalog.append_turn(chat, turn)
        catalog.set_summary(ODD, "They met. " + ODD, 1)
        catalog.close()
        again = opened()
        assert again.turns(ODD) == [first, second]
        assert again.summary(ODD) == ("They met. " + ODD, 1)
        assert again.chats() == [ODD, "b"]
        for covers in (3, -1):
            with pytest.raises(InputError):
                again.set_summary(ODD, "more", covers)
        again.replace_turn(ODD, first)
        assert (again.turns(ODD), again.summary(ODD)[1]) == ([first, first], 1)
        again.set_summary(ODD, "of both", 2)
        again.replace_turn(ODD, second)
        assert (again.turns(ODD), again.summary(ODD)) == ([first, second], ("", 0))
        assert again.delete_chat(ODD) and not again.delete_chat(ODD)
        assert (again.turns(ODD), again.chats(), again.turns("b")) == ([], ["b"], [second])

    def test_settings(self, catalog: Catalog, opened: Callable[[], Catalog]) -> None:
        """Kept, replaced, None when never set."""
        assert catalog.setting("embedder") is None
        catalog.set_setting("embedder", "one")
        catalog.set_setting("embedder", ODD)
        catalog.close()
        assert opened().setting("embedder") == ODD

    def test_records(self, catalog: Catalog, opened: Callable[[], Catalog]) -> None:
        """By kind and name, the latest first, by owner and age, replaced or added once."""
        noon = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
        odd = Record(ODD, ODD, {ODD: [1, None, {"a": ODD}], "é": 0.5}, noon, ODD)
        later = Record("run", "b", {"n": 1}, noon + timedelta(microseconds=1), "ann")
        east = Record("run", "a", {}, noon.astimezone(timezone(timedelta(hours=9))), "bob")
        assert (catalog.record("run", "a"), catalog.records("run")) == (None, [])
        for each in (odd, east, later):
            catalog.put_record(each)
        assert not catalog.add_record(Record("run", "b", {"n": 2}, noon))
        assert catalog.add_record(Record("run", "c", {}, noon, "ann"))
        catalog.close()
        again = opened()
        assert again.record(ODD, ODD) == odd
        assert [r.id for r in again.records("run")] == ["b", "a", "c"]
        assert [r.id for r in again.records("run", limit=1)] == ["b"]
        assert [r.id for r in again.records("run", owner="ann")] == ["b", "c"]
        assert [r.id for r in again.records("run", before=later.at)] == ["a", "c"]
        again.put_record(Record("run", "c", {"new": True}, noon + timedelta(days=1)))
        assert again.records("run")[0].body == {"new": True}
        assert again.remove_records("run", ["a", "c", "unknown"]) == 2
        assert [r.id for r in again.records("run")] == ["b"]
        assert again.remove_records("run", []) == 0
        for wrong in (
            Record("", "a", {}, noon),
            Record("run", "", {}, noon),
            Record("run", "a", {"a": object()}, noon),
            Record("run", "a", {}, noon.replace(tzinfo=None)),
        ):
            with pytest.raises(InputError):
                again.put_record(wrong)
        with pytest.raises(InputError):
            again.remove_records("run", "b")

    def test_others_see_what_is_written(
        self, catalog: Catalog, opened: Callable[[], Catalog]
    ) -> None:
        """A second object sees each put when it returns."""
        other = opened()
        for number in range(3):
            document = document_of(f"s{number}", "text")
            catalog.put(document, chunks_in(document, 2), collection="c", origin="")
            assert other.counts(collection="c") == (number + 1, 2 * (number + 1))

    def test_many_threads(self, catalog: Catalog) -> None:
        """Writers and readers at once: nothing lost, a read never sees half a document."""
        failures: list[BaseException] = []

        def work(name: int) -> None:
            try:
                for round_ in range(15):
                    document = document_of(f"s{name}", f"{round_}." + "text " * 400)
                    chunks = chunks_in(document, 40)
                    catalog.put(document, chunks, collection="c", origin=str(round_))
                    for info in catalog.documents(collection="c"):
                        found = catalog.chunks_of(info.id, collection="c")
                        assert len({chunk.version for chunk in found}) == 1
                        whole = catalog.document(info.id, collection="c")
                        assert whole is not None
                        for text in (whole.text, "".join(chunk.text for chunk in found)):
                            assert text == text.partition(".")[0] + "." + "text " * 400
                    catalog.append_turn("chat", Turn(str(name), str(round_)))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert catalog.counts(collection="c")[0] == 4
        assert len(catalog.turns("chat")) == 60

    def test_backup(self, catalog: Catalog, tmp_path: Path) -> None:
        """A whole copy in a new file, with what was just written; what is there is not touched."""
        document = document_of("s", "text " * 1_000)
        catalog.put(document, chunks_in(document, 100), collection="c", origin="")
        target = tmp_path / "copies" / "backup"
        target.parent.mkdir()
        catalog.backup(str(target))
        assert target.stat().st_size > 5_000
        assert [path.name for path in target.parent.iterdir()] == ["backup"]
        with pytest.raises(InputError):
            catalog.backup(str(target))
        with pytest.raises(BaseError):
            catalog.backup(str(tmp_path / "nowhere" / "backup"))

    def test_close_twice(self, catalog: Catalog) -> None:
        """A second close does nothing; a call after it is an error of ours."""
        catalog.close()
        catalog.close()
        with pytest.raises(BaseError):
            catalog.collections()
