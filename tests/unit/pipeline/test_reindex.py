from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ragstack import Stack
from ragstack.config import Plugin
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import BaseLocked, ConfigError, EmbedderMismatch
from ragstack.pipeline.generations import made_with, under_way
from ragstack.pipeline.reindex import Rebuilding, abandon, reindex

OpenStack = Callable[..., Stack]
SMALL = Plugin("hashing", {"dimensions": 64})
FIXED = Plugin("fixed", {"size": 40, "overlap": 0})


class Stopped(Exception):
    """What a test raises where a process would be killed."""


def stop_at(step: str, done: int) -> Callable[[Rebuilding], None]:
    def watch(at: Rebuilding) -> None:
        if at.step == step and at.done >= done:
            raise Stopped

    return watch


def dimensions(stack: Stack) -> int:
    return stack.parts.embedder.dimensions


def test_another_embedder_takes_over_when_all_is_built(stack: Stack) -> None:
    before = [p.chunk.id for p in stack.search("lighthouse", k=5)]
    report = reindex(stack, embed=SMALL)
    assert (report.generation, report.documents) == (1, stack.stats()["documents"])
    assert dimensions(stack) == 64
    assert stack.stats()["embedder"] == report.embedder == stack.parts.raw_embedder.fingerprint
    assert set(p.chunk.id for p in stack.search("lighthouse", k=5)) & set(before)
    assert {i["chunks"] for i in stack.stats()["indexes"].values()} == {report.chunks}
    assert [p.name for p in (stack.folder / "collections").iterdir()] == ["default@1"]
    assert stack.parts.catalog.collections(hidden=True) == []


def test_the_base_remembers_it_and_the_configuration_need_not_change(
    stack: Stack, open_stack: OpenStack, corpus_folder: Path
) -> None:
    reindex(stack, embed=SMALL, chunk=FIXED)
    found = [p.chunk.id for p in stack.search("lighthouse", k=5)]
    stack.close()
    again = open_stack()
    assert [p.chunk.id for p in again.search("lighthouse", k=5)] == found
    report = again.ingest(corpus_folder)
    assert len(report.unchanged) == again.stats()["documents"]
    assert made_with(again.parts.catalog)["chunk"].plugin.use == "fixed"


def test_a_configuration_that_asks_for_a_third_is_refused(
    stack: Stack, open_stack: OpenStack
) -> None:
    reindex(stack, embed=SMALL)
    other = open_stack(overrides={"embed": {"use": "hashing", "dimensions": 128}})
    with pytest.raises(EmbedderMismatch, match="ragstack reindex"):
        other.search("lighthouse")
    assert reindex(other).generation == 2
    assert dimensions(other) == 128
    assert other.search("lighthouse")


def test_a_process_that_reads_goes_over_by_itself(stack: Stack, open_stack: OpenStack) -> None:
    reader = open_stack()
    assert reader.search("lighthouse")
    reindex(stack, embed=SMALL, chunk=FIXED)
    assert [p.chunk.id for p in reader.search("lighthouse", k=5)] == [
        p.chunk.id for p in stack.search("lighthouse", k=5)
    ]
    assert dimensions(reader) == 64


@pytest.mark.parametrize(("step", "done"), [("cut", 1), ("cut", 5), ("index", 1)])
def test_broken_off_it_is_taken_up_and_the_old_one_is_searched(
    stack: Stack, open_stack: OpenStack, step: str, done: int
) -> None:
    before = stack.search("lighthouse", k=5)
    with pytest.raises(Stopped):
        reindex(stack, embed=SMALL, chunk=FIXED, progress=stop_at(step, done))
    assert stack.search("lighthouse", k=5) == before
    assert open_stack().search("lighthouse", k=5) == before
    # whoever writes the new embedder into the configuration first is no worse off
    edited = open_stack(overrides={"embed": {"use": "hashing", "dimensions": 64}})
    assert edited.search("lighthouse", k=5) == before
    report = reindex(stack, embed=SMALL, chunk=FIXED)
    assert report.resumed >= min(done, 5)
    assert dimensions(stack) == 64
    assert under_way(stack.parts.catalog) is None


def test_what_changed_in_between_is_not_forgotten(stack: Stack, corpus_folder: Path) -> None:
    with pytest.raises(Stopped):
        reindex(stack, embed=SMALL, progress=stop_at("index", 1))
    (corpus_folder / "bees.txt").write_text("Wombats dig burrows at night.", "utf-8")
    (corpus_folder / "ferry.md").unlink()
    stack.ingest(corpus_folder, meta={"round": 2})
    reindex(stack, embed=SMALL)
    names = {Path(info.source).name for info in stack.documents()}
    assert "ferry.md" not in names
    assert Path(stack.search("wombats", k=1)[0].source).name == "bees.txt"
    assert len(stack.search("lighthouse", k=50, where={"round": 2})) == stack.stats()["chunks"]


def test_another_wish_begins_anew_and_it_can_be_given_up(stack: Stack) -> None:
    with pytest.raises(Stopped):
        reindex(stack, embed=SMALL, progress=stop_at("index", 1))
    report = reindex(stack, embed=Plugin("hashing", {"dimensions": 32}))
    assert report.resumed == 0
    assert dimensions(stack) == 32
    with pytest.raises(Stopped):
        reindex(stack, embed=SMALL, progress=stop_at("cut", 2))
    assert abandon(stack)
    assert not abandon(stack)
    assert dimensions(stack) == 32
    assert stack.parts.catalog.collections(hidden=True) == []
    assert [p.name for p in (stack.folder / "collections").iterdir()] == ["default@1"]


def test_a_wish_that_cannot_be_met_changes_nothing(stack: Stack) -> None:
    with pytest.raises(ConfigError):
        reindex(stack, chunk=Plugin("fixed", {"colour": "red"}))
    assert under_way(stack.parts.catalog) is None
    assert stack.search("lighthouse")


def test_every_collection_goes_over(stack: Stack, corpus_folder: Path) -> None:
    stack.ingest(corpus_folder / "bees.txt", collection="two")
    reindex(stack, embed=SMALL)
    assert stack.search("honey", collection="two")
    assert stack.stats(collection="two")["indexes"]["vector"]["chunks"] > 0


def test_it_needs_the_right_to_write(stack: Stack, open_stack: OpenStack) -> None:
    with open_stack().writing(), pytest.raises(BaseLocked):
        reindex(stack, embed=SMALL)


def test_a_base_of_an_earlier_release_is_searched_as_it_is_until_it_is_built_anew(
    stack: Stack, open_stack: OpenStack, corpus_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_of(newest: HashingEmbedder, fingerprint: str) -> HashingEmbedder:
        earlier = HashingEmbedder(dimensions=64)
        return earlier if earlier.fingerprint == fingerprint else newest

    old = open_stack("old", overrides={"embed": {"use": "hashing", "dimensions": 64}})
    old.ingest(corpus_folder)
    before = [p.chunk.id for p in old.search("lighthouse", k=5)]
    old.close()
    monkeypatch.setattr(HashingEmbedder, "as_of", as_of, raising=False)
    new = open_stack("old")
    assert [p.chunk.id for p in new.search("lighthouse", k=5)] == before
    assert dimensions(new) == 64
    reindex(new)
    assert dimensions(new) == dimensions(stack) == 256
    assert new.search("lighthouse")
