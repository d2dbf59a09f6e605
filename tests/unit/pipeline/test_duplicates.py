from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ragstack import Stack
from ragstack.errors import BaseError, ConfigError, InputError
from ragstack.pipeline import minhash
from ragstack.pipeline.duplicates import duplicates
from ragstack.pipeline.gate import FILE_NAME
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.signatures import Signatures

OpenStack = Callable[..., Stack]


def text_of(seed: int, words: int = 400) -> list[str]:
    dice = random.Random(seed)
    return [f"w{dice.randrange(5_000)}" for _ in range(words)]


def changed(words: list[str], count: int) -> list[str]:
    """Return the text with so many words replaced, each far from the next."""
    made = list(words)
    for place in range(count):
        made[place * len(words) // count] = f"new{place}"
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "papers"
    made.mkdir()
    for number in range(6):
        (made / f"{number}.txt").write_text(" ".join(text_of(number)), "utf-8")
    (made / "0-again.txt").write_text(" ".join(changed(text_of(0), 8)), "utf-8")
    (made / "1-same.txt").write_text(" ".join(text_of(1)), "utf-8")
    (made / "2-half.txt").write_text(" ".join(changed(text_of(2), 100)), "utf-8")
    return made


def test_an_estimate_is_near_the_truth() -> None:
    base = text_of(1, 2_000)
    left = minhash.signature(minhash.shingles(" ".join(base)))
    for count in (0, 20, 100, 300, 600):
        other = minhash.shingles(" ".join(changed(base, count)))
        truth = minhash.similarity(minhash.shingles(" ".join(base)), other)
        right = minhash.signature(other)
        assert left is not None and right is not None
        assert abs(minhash.estimate(left, right) - truth) < 0.13
        if truth > 0.8:
            assert set(minhash.bands(left)) & set(minhash.bands(right))


def test_hash_functions_are_apart() -> None:
    """Over many pairs that share half, the mean of the estimates is a half."""
    guesses = []
    for seed in range(60):
        words = [f"{seed}-{number}" for number in range(300)]
        left, right = " ".join(words[:200]), " ".join(words[100:])
        pair = [minhash.signature(minhash.shingles(text)) for text in (left, right)]
        assert pair[0] is not None and pair[1] is not None
        guesses.append(minhash.estimate(pair[0], pair[1]))
    truth = 98 / 298  # 198 runs of three words each, 98 of them common
    assert abs(float(np.mean(guesses)) - truth) < 0.02
    assert float(np.std(guesses)) < 0.07


@pytest.mark.parametrize("text", ["", " \n", "—…!?", "\ud800"])
def test_a_text_without_words_is_like_none(text: str) -> None:
    found = minhash.shingles(text)
    assert minhash.signature(found) is None or len(found)
    assert minhash.similarity(found, minhash.shingles("")) == 0.0


def test_case_space_and_order() -> None:
    one = minhash.shingles("The tide turns at nine in the harbour")
    assert (
        minhash.similarity(one, minhash.shingles("the TIDE\nturns at  nine, in the harbour")) == 1
    )
    assert minhash.similarity(one, minhash.shingles("harbour the in nine at turns tide The")) == 0
    assert len(minhash.shingles("two words")) == len(minhash.shingles("one")) == 1


def test_pairs_of_a_base(open_stack: OpenStack, folder: Path) -> None:
    stack = open_stack()
    stack.ingest(folder)
    found = duplicates(stack.parts.catalog, stack.folder, collection="default")
    pairs = {frozenset((Path(p.source).name, Path(p.of).name)): p.similarity for p in found}
    assert pairs.keys() == {
        frozenset(("0.txt", "0-again.txt")),
        frozenset(("1.txt", "1-same.txt")),
    }
    assert pairs[frozenset(("1.txt", "1-same.txt"))] == 1.0
    assert 0.8 < pairs[frozenset(("0.txt", "0-again.txt"))] < 1.0
    assert found == sorted(found, key=lambda p: -p.similarity)
    again = duplicates(stack.parts.catalog, stack.folder, collection="default")
    assert again == found
    most = duplicates(stack.parts.catalog, stack.folder, collection="default", threshold=1.0)
    assert len(most) == 1
    with pytest.raises(InputError, match="between"):
        duplicates(stack.parts.catalog, stack.folder, collection="default", threshold=0.1)


def test_pairs_show_only_what_the_asker_may_read(open_stack: OpenStack, folder: Path) -> None:
    stack = open_stack()
    stack.ingest(folder / "1.txt", folder / "0.txt", folder / "0-again.txt")
    stack.ingest(folder / "1-same.txt", readers=["ann"])
    catalog = stack.parts.catalog
    for asker, count in ((None, 2), (["ann"], 2), ([], 1), (["bob"], 1)):
        found = duplicates(catalog, stack.folder, collection="default", asker=asker)
        assert len(found) == count


def near(stack: Stack, *paths: Path, **more: object) -> tuple[set[str], set[str]]:
    report = stack.ingest(*paths, **more)  # type: ignore[arg-type]
    return (
        {Path(pair.source).name for pair in report.near_duplicates},
        {Path(source).name for source in report.skipped},
    )


def test_ingest_reports_or_skips(open_stack: OpenStack, folder: Path) -> None:
    report = open_stack("r", overrides={"ingest": {"near_duplicates": "report"}})
    steps: list[Step] = []
    found, skipped = near(report, folder, progress=steps.append)
    assert len(found) == 2 and not skipped
    assert report.stats()["documents"] == 9
    assert sum(step.near is not None for step in steps) == 2
    skip = open_stack("s", overrides={"ingest": {"near_duplicates": "skip"}})
    assert near(skip, folder) == (found, found)
    assert skip.stats()["documents"] == 7
    assert near(skip, folder) == (found, found)
    assert near(open_stack("k"), folder) == (set(), set())
    with pytest.raises(ConfigError, match="near_duplicates"):
        open_stack("x", overrides={"ingest": {"near_duplicates": "drop"}}).ingest(folder)


def test_a_document_that_becomes_like_another_is_kept(open_stack: OpenStack, folder: Path) -> None:
    stack = open_stack(overrides={"ingest": {"near_duplicates": "skip"}})
    stack.ingest(folder)
    (folder / "3.txt").write_text((folder / "4.txt").read_text("utf-8"), "utf-8")
    found, skipped = near(stack, folder)
    assert "3.txt" in found and "3.txt" not in skipped
    (folder / "4.txt").write_text("Something else altogether now.", "utf-8")
    assert "3.txt" not in near(stack, folder)[0]


def test_nobody_loses_a_document_to_one_they_may_not_read(
    open_stack: OpenStack, folder: Path
) -> None:
    stack = open_stack(overrides={"ingest": {"near_duplicates": "skip"}})
    stack.ingest(folder / "1.txt", readers=["ann"])
    assert near(stack, folder / "1-same.txt") == (set(), set())
    (folder / "third.txt").write_text(" ".join(text_of(1)), "utf-8")
    assert near(stack, folder / "third.txt", readers=["ann"])[1] == {"third.txt"}


def test_signatures_are_kept_and_pruned(tmp_path: Path) -> None:
    signatures = Signatures(tmp_path / FILE_NAME)
    for number in range(4):
        signatures.add(str(number), " ".join(text_of(number // 2)))
    signatures.add("empty", "")
    assert signatures.like("0") == [("1", 1.0)]
    assert signatures.like("empty") == signatures.like("unknown") == []
    assert signatures.prune(["0", "empty"]) == 3
    assert signatures.known() == {"0", "empty"}
    assert signatures.like("0") == []
    signatures.close()
    signatures.close()
    (tmp_path / "broken").write_text("x" * 4_096, "utf-8")
    with pytest.raises(BaseError, match="signatures"):
        Signatures(tmp_path / "broken")
