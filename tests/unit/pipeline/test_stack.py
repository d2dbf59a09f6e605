from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ragstack import Answer, Delta, Document, Retrieved, Stack, filters
from ragstack.catalog.lock import WriteLock
from ragstack.errors import BaseLocked, ConfigError, EmbedderMismatch, InputError, NotFound
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.index.folder import standing_kind
from ragstack.pipeline.ingest import Step

OpenStack = Callable[..., Stack]


def names(sources: tuple[str, ...]) -> list[str]:
    return [Path(source).name for source in sources]


def found(stack: Stack, query: str, **more: object) -> list[str]:
    return [Path(p.source).name for p in stack.search(query, k=20, **more)]  # type: ignore[arg-type]


def test_a_folder_is_ingested_and_found(stack: Stack, corpus_folder: Path) -> None:
    assert stack.stats()["documents"] == len(list(corpus_folder.iterdir()))
    best = stack.search("Who built the lighthouse?", k=1)[0]
    assert Path(best.source).name == "lighthouse.md"
    assert set(best.trail) == {"lexical", "vector", "vector.spread", "weighted"}
    document = stack.document(best.chunk.document_id)
    assert document is not None
    assert document.text[best.chunk.start : best.chunk.end] == best.chunk.text


def test_an_unchanged_folder_is_no_work(stack: Stack, corpus_folder: Path) -> None:
    before = stack.parts.catalog.position(collection="default")
    report = stack.ingest(corpus_folder)
    assert len(report.unchanged) == stack.stats()["documents"]
    assert not report.added + report.updated + report.removed
    assert stack.parts.catalog.position(collection="default") == before


def test_a_changed_document_replaces_its_chunks(stack: Stack, corpus_folder: Path) -> None:
    (corpus_folder / "bees.txt").write_text("Wombats dig burrows at night.", "utf-8")
    report = stack.ingest(corpus_folder)
    assert names(report.updated) == ["bees.txt"]
    assert found(stack, "wombats burrows")[0] == "bees.txt"
    assert "honey" not in " ".join(p.chunk.text for p in stack.search("honey hive 2023", k=50))


def test_a_removed_document_is_gone_everywhere(stack: Stack, corpus_folder: Path) -> None:
    (corpus_folder / "bees.txt").unlink()
    report = stack.ingest(corpus_folder)
    assert names(report.removed) == ["bees.txt"]
    assert "bees.txt" not in found(stack, "honey hive bees")
    sizes = {index["chunks"] for index in stack.stats()["indexes"].values()}
    assert sizes == {stack.stats()["chunks"]}


def test_ingesting_one_file_removes_no_other(stack: Stack, corpus_folder: Path) -> None:
    report = stack.ingest(corpus_folder / "bees.txt")
    assert not report.removed
    assert "lighthouse.md" in found(stack, "lighthouse")


def test_a_bad_document_is_reported_and_the_rest_go_on(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    (corpus_folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    (corpus_folder / "empty.txt").write_bytes(b"")
    stack = open_stack()
    steps: list[Step] = []
    report = stack.ingest(corpus_folder, progress=steps.append)
    assert sorted(names(tuple(f.source for f in report.failed))) == ["broken.pdf", "empty.txt"]
    assert all(failure.reason for failure in report.failed)
    assert len(report.added) == len(list(corpus_folder.iterdir())) - 2
    assert {step.kind for step in steps} == {"added", "failed", "indexed"}


def test_a_document_that_breaks_keeps_its_last_good_state(
    stack: Stack, corpus_folder: Path
) -> None:
    (corpus_folder / "bees.txt").write_bytes(b"")
    report = stack.ingest(corpus_folder)
    assert names(tuple(f.source for f in report.failed)) == ["bees.txt"]
    assert not report.removed
    assert "bees.txt" in found(stack, "honey hive")


def test_delete_by_path_folder_id_and_address(stack: Stack, corpus_folder: Path) -> None:
    (info, *_) = stack.documents()
    assert stack.delete(info.id) == 1
    assert stack.delete(info.source) == 0
    assert stack.delete(corpus_folder / "ferry.md") in (0, 1)
    assert stack.delete("nothing.txt") == 0
    assert stack.delete(corpus_folder) > 0
    assert stack.stats()["documents"] == stack.stats()["chunks"] == 0
    assert stack.search("lighthouse") == []


def test_metadata_filters(open_stack: OpenStack, corpus_folder: Path) -> None:
    stack = open_stack()
    stack.ingest(corpus_folder / "bees.txt", meta={"year": 2023})
    stack.ingest(corpus_folder / "ferry.md", meta={"year": 2019})
    assert found(stack, "honey ferry", where={"year": {"gte": 2020}}) == ["bees.txt"]
    assert set(found(stack, "honey ferry", where=filters.Exists("year"))) >= {"bees.txt"}
    with pytest.raises(InputError, match="unknown operator"):
        stack.search("honey", where={"year": {"near": 2020}})
    with pytest.raises(InputError, match="metadata"):
        stack.ingest(corpus_folder, meta={"year": [2020]})  # type: ignore[dict-item]


def test_readers_see_their_documents_and_nobody_else_does(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    stack = open_stack()
    stack.ingest(corpus_folder / "bees.txt", readers=["ana", "board"])
    stack.ingest(corpus_folder / "ferry.md")
    assert found(stack, "honey ferry") == ["ferry.md"]
    assert set(found(stack, "honey ferry", asker=["ana"])) == {"bees.txt", "ferry.md"}
    assert found(stack, "honey ferry", asker=["bob"]) == ["ferry.md"]


def test_changing_readers_alone_is_an_update(open_stack: OpenStack, corpus_folder: Path) -> None:
    stack = open_stack()
    stack.ingest(corpus_folder / "bees.txt")
    report = stack.ingest(corpus_folder / "bees.txt", readers=["ana"])
    assert names(report.updated) == ["bees.txt"]
    assert found(stack, "honey") == []


def test_collections_are_apart(open_stack: OpenStack, corpus_folder: Path) -> None:
    stack = open_stack()
    stack.ingest(corpus_folder / "bees.txt", collection="one")
    stack.ingest(corpus_folder / "ferry.md", collection="two")
    assert found(stack, "honey ferry", collection="one") == ["bees.txt"]
    assert found(stack, "honey ferry", collection="two") == ["ferry.md"]
    assert stack.stats(collection="one")["collections"] == ["one", "two"]
    with pytest.raises(InputError, match="collection"):
        stack.search("x", collection="../up")


def test_a_base_opens_again(open_stack: OpenStack, corpus_folder: Path) -> None:
    first = open_stack()
    first.ingest(corpus_folder)
    expected = first.search("lighthouse", k=3)
    first.close()
    first.close()
    assert open_stack().search("lighthouse", k=3) == expected


def test_another_embedder_is_refused(open_stack: OpenStack, corpus_folder: Path) -> None:
    open_stack().ingest(corpus_folder)
    other = open_stack(overrides={"embed": {"use": "hashing", "dimensions": 64}})
    with pytest.raises(EmbedderMismatch, match="built with"):
        other.search("lighthouse")
    with pytest.raises(EmbedderMismatch):
        other.ingest(corpus_folder)


def test_a_base_that_another_writes_is_locked(stack: Stack, corpus_folder: Path) -> None:
    with WriteLock(stack.folder):
        with pytest.raises(BaseLocked):
            stack.ingest(corpus_folder)
        assert stack.search("lighthouse")
    stack.ingest(corpus_folder)


def test_a_writer_waits_for_a_reader_that_catches_up(
    stack: Stack, open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, info = open_stack(), stack.documents()[0]
    stack.parts.catalog.remove([info.id], collection="default")  # and no index was told
    at_it, enough = threading.Event(), threading.Event()
    plain = reader._bring_up

    def slowly(collection: str) -> None:
        at_it.set()
        assert enough.wait(30)
        plain(collection)

    monkeypatch.setattr(reader, "_bring_up", slowly)
    with ThreadPoolExecutor() as pool:
        searching = pool.submit(reader.search, "lighthouse")
        assert at_it.wait(30)
        writing = pool.submit(stack.delete, stack.documents()[0].id)
        with pytest.raises(TimeoutError):
            writing.result(0.2)
        enough.set()
        assert searching.result(30) and writing.result(30) == 1


def test_an_index_that_fell_behind_catches_up_on_search(
    stack: Stack, open_stack: OpenStack, tmp_path: Path
) -> None:
    chunks = [
        c
        for i in stack.documents()
        for c in stack.parts.catalog.chunks_of(i.id, collection="default")
    ]
    late = Document("0123456789abcdef", "Axolotls regrow limbs.", str(tmp_path / "late.txt"))
    made = stack.parts.chunker.chunk(late)
    stack.parts.catalog.put(late, made, collection="default", origin="x")
    assert found(stack, "axolotls limbs")[0] == "late.txt"
    assert len(stack.parts.indexes("default")["vector"]) == len(chunks) + len(made)


def test_a_lost_index_is_filled_from_the_catalog(
    stack: Stack, open_stack: OpenStack, corpus_folder: Path
) -> None:
    expected = [p.chunk.id for p in stack.search("lighthouse", k=5)]
    stack.close()
    for part in ("lexical", "vector"):
        for file in sorted((stack.folder / "collections" / "default" / part).rglob("*")):
            if file.is_file():
                file.unlink()
    assert [p.chunk.id for p in open_stack().search("lighthouse", k=5)] == expected


@pytest.mark.parametrize("question", ["", "   ", "\n"])
def test_a_blank_question_is_refused(stack: Stack, question: str) -> None:
    with pytest.raises(InputError, match="blank"):
        stack.search(question)


def test_bad_arguments_are_refused(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        stack.search("x", k=0)
    with pytest.raises(InputError, match="list of texts"):
        stack.search_many("x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown style"):
        stack.ask("x", style="long")
    with pytest.raises(NotFound):
        stack.ingest(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="is a file"):
        Stack.open(__file__)
    with pytest.raises(ConfigError, match="unknown key"):
        Stack.open(tmp_path / "x", overrides={"generat": {}})
    with pytest.raises(InputError, match="blank"):
        stack.chat(" ")


def test_search_takes_any_text(stack: Stack) -> None:
    for question in ('"', "a AND (", "chunk:*", "\x00", "l'été", "😀", "x" * 20_000, "\ud800"):
        stack.search(question)


def test_a_batch_gives_what_single_questions_give(stack: Stack) -> None:
    questions = ["lighthouse", "miel et abeilles", "ferry"]
    assert stack.search_many(questions, k=4) == [stack.search(q, k=4) for q in questions]


def test_stream_yields_what_was_found_then_text_then_the_answer(stack: Stack) -> None:
    events = list(stack.stream("Who built the lighthouse?", style="brief"))
    assert isinstance(events[0], Retrieved)
    assert isinstance(events[1], Delta)
    assert isinstance(events[-1], Answer)
    assert sum(isinstance(event, Answer) for event in events) == 1


def test_ask_answers_with_a_checked_quote(stack: Stack) -> None:
    answer = stack.ask("Who built the lighthouse?", style="brief")
    assert answer.text == "Agnes Murray"
    assert not answer.abstained
    assert answer.grounded
    (citation,) = answer.citations
    assert citation.verdict == "verbatim"
    document = stack.document(citation.document_id)
    assert document is not None
    assert document.text[citation.start : citation.end] == citation.quote
    assert "Agnes Murray" in citation.quote
    assert citation.mark is not None
    assert set(answer.seconds) == {"retrieve", "pack", "judge", "generate", "cite"}


def test_ask_answers_in_french(stack: Stack) -> None:
    answer = stack.ask("Qui entretient les vannes du moulin ?", style="brief")
    assert answer.text == "Le locataire"
    assert answer.citations[0].source.endswith("bail.md")


def test_ask_abstains_when_nothing_was_found(open_stack: OpenStack) -> None:
    answer = open_stack().ask("Who built the lighthouse?")
    assert answer.abstained
    assert not answer.grounded
    assert answer.text == "I found nothing about this in the documents."


def test_ask_abstains_in_the_language_of_the_question(stack: Stack) -> None:
    answer = stack.ask("Quelle est la couleur du cheval de la reine ?")
    assert answer.abstained
    assert "ne répondent pas" in answer.text


def test_a_generator_without_scores_is_taken_at_its_word(
    open_stack: OpenStack, corpus_folder: Path
) -> None:
    stack = open_stack(generator=ScriptedGenerator(["not in the passages", "Agnes Murray"]))
    stack.ingest(corpus_folder)
    assert stack.ask("Who built the lighthouse?", style="brief").abstained
    assert stack.ask("Who built the lighthouse?", style="brief").text == "Agnes Murray"


def test_stats_are_json(stack: Stack) -> None:
    stats = json.loads(json.dumps(stack.stats()))
    assert stats["documents"] == len(stack.documents())
    assert stats["indexes"]["lexical"]["behind"] == 0
    assert stats["bytes"] > 0


@pytest.mark.parametrize("name", ["mmr", "late_interaction"])
def test_a_configured_reranker_orders_and_leaves_its_trail(
    open_stack: OpenStack, corpus_folder: Path, name: str
) -> None:
    stack = open_stack(overrides={"rerank": {"use": name}, "embed": {"use": "hashing"}})
    stack.ingest(corpus_folder)
    passages = stack.search("Who built the lighthouse?", k=3)
    assert len(passages) == 3
    scores = [passage.trail["rerank"] for passage in passages]
    assert scores == sorted(scores, reverse=True)
    assert passages[0].score == scores[0]


def damage(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("slot", ["lexical", "vector"])
def test_a_damaged_index_is_built_anew(
    stack: Stack, open_stack: OpenStack, slot: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = [p.chunk.id for p in stack.search("lighthouse", k=5)]
    stack.close()
    damage(stack.folder / "collections" / "default" / slot)
    assert [p.chunk.id for p in open_stack().search("lighthouse", k=5)] == expected
    assert "built anew" in caplog.text


def test_a_base_with_tantivy_is_read_and_then_built_anew(
    open_stack: OpenStack, corpus_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bases of an earlier version have tantivy in that place."""
    old = open_stack(overrides={"index": {"lexical": {"use": "tantivy", "languages": ["en"]}}})
    old.ingest(corpus_folder)
    expected = [p.chunk.id for p in old.search("Who built the lighthouse?", k=3)]
    old.close()
    place = old.folder / "collections" / "default" / "lexical"
    overrides = {"index": {"lexical": {"languages": ["en"], "scoring": {"k1": 1.2}}}}
    stack = open_stack(overrides=overrides)
    assert [p.chunk.id for p in stack.search("Who built the lighthouse?", k=3)] == expected
    assert standing_kind(place) == "tantivy"
    assert not caplog.records
    report = stack.ingest(corpus_folder)
    assert not report.added + report.updated
    assert standing_kind(place) == "bm25"
    assert "built anew" in caplog.text
    assert [p.chunk.id for p in stack.search("Who built the lighthouse?", k=3)] == expected
    stack.close()


def test_an_index_ahead_of_an_older_catalog_is_built_anew(
    stack: Stack, open_stack: OpenStack, corpus_folder: Path, tmp_path: Path
) -> None:
    stack.parts.catalog.backup(str(tmp_path / "older.sqlite"))
    (corpus_folder / "new.txt").write_text("Axolotls regrow limbs.", "utf-8")
    stack.ingest(corpus_folder)
    stack.close()
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (stack.folder / name).unlink(missing_ok=True)
    (tmp_path / "older.sqlite").replace(stack.folder / "catalog.sqlite")
    again = open_stack()
    assert "new.txt" not in found(again, "axolotls limbs")
    assert {i["chunks"] for i in again.stats()["indexes"].values()} == {again.stats()["chunks"]}


def test_two_stacks_write_in_turns(
    stack: Stack, open_stack: OpenStack, corpus_folder: Path
) -> None:
    other = open_stack()
    (corpus_folder / "one.txt").write_text("Axolotls regrow limbs.", "utf-8")
    other.ingest(corpus_folder)
    assert found(stack, "axolotls limbs")[0] == "one.txt"
    (corpus_folder / "two.txt").write_text("Okapis live in forests.", "utf-8")
    stack.ingest(corpus_folder)
    assert found(other, "okapis forests")[0] == "two.txt"
