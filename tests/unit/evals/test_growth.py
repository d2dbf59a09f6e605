from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from ragstack.testing.embedders import EmbedderSuite
from ragstack_evals import growth
from ragstack_evals.growth import HashedVectors, ask_size, build_size, made_up_chunks, show_growth


class TestHashedVectors(EmbedderSuite):
    def make(self) -> HashedVectors:
        return HashedVectors()


def test_a_larger_size_goes_on_where_a_smaller_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_BATCH", 10)
    few = list(itertools.chain.from_iterable(made_up_chunks(20)))
    more = list(itertools.chain.from_iterable(made_up_chunks(25)))
    assert [chunk.text for chunk in more[:20]] == [chunk.text for chunk in few]
    assert len({chunk.id for chunk in more}) == 25


def test_words_come_by_zipfs_law() -> None:
    (chunks,) = made_up_chunks(2_000)
    counts = Counter(word for chunk in chunks for word in chunk.text.split())
    (_, first), (_, tenth) = counts.most_common(10)[0], counts.most_common(10)[9]
    # Ranks are shifted, as Mandelbrot has it.
    assert first / tenth == pytest.approx((10 + 1.7) / (1 + 1.7), rel=0.15)
    assert len(counts) > 20_000


def test_a_size_is_measured_with_the_indexes_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_QUERIES", 5)
    found = {**build_size(300, tmp_path), **ask_size(tmp_path, HashedVectors())}
    assert set(found["queries"]) == {*found["indexes"], "both", "question"}
    assert all(0 < times["p50"] <= times["p95"] for times in found["queries"].values())
    assert found["bytes_on_disk"] > 300 * 384  # the vectors at least, a byte each
    console = Console(record=True, width=160)
    show_growth({"300": found, "600": {"failed": "the disk is full"}}, console)
    show_growth({"300": {**found, **ask_size(tmp_path)}}, console)  # nobody embeds
    text = console.export_text()
    assert "the disk is full" in text and "lexical p50 ms" in text


def test_a_size_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSTACK_INDEX__LEXICAL__USE", "nothing")
    said: list[str] = []
    found = growth.grow((100,), tmp_path, said.append)
    assert "nothing" in found["100"]["failed"]
    assert said == ["growth: 100 chunks"]
