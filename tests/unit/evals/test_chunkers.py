from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragstack.errors import InputError
from ragstack_evals.chunk_corpora import read_corpora
from ragstack_evals.chunk_measures import score, score_perfect, within_budget
from ragstack_evals.chunk_run import options_for
from ragstack_evals.command import app


def tokens(span: tuple[int, int]) -> int:
    return span[1] - span[0]


def test_the_measures_of_the_report() -> None:
    found = score([(10, 20)], [(15, 35)], tokens)
    assert (found.recall, found.precision) == (0.5, 0.25)
    assert found.iou == pytest.approx(5 / 25)


def test_overlap_counts_twice_below_the_line() -> None:
    found = score([(0, 10)], [(0, 10), (0, 10)], tokens)
    assert (found.recall, found.precision, found.iou) == (1.0, 0.5, 0.5)


def test_what_comes_of_other_documents_is_paid_for() -> None:
    assert score([(0, 10)], [(0, 10)], tokens, other=30).precision == 0.25
    assert score([(0, 10)], [], tokens, other=30).recall == 0.0
    assert score([(0, 10)], [], tokens).iou == 0.0


def test_gold_that_overlaps_counts_once() -> None:
    assert score([(0, 10), (5, 12)], [(0, 12)], tokens).precision == 1.0


def test_a_perfect_retrieval_takes_every_chunk_with_gold() -> None:
    chunks = [(0, 10), (10, 20), (20, 30)]
    assert score_perfect([(8, 12)], chunks, tokens) == 4 / 20
    assert score_perfect([(0, 10)], chunks, tokens) == 1.0


def test_a_budget_keeps_the_first_and_stops_at_the_next() -> None:
    assert within_budget([("a", 90), ("b", 20), ("c", 5)], 100) == ["a"]
    assert within_budget([("a", 900), ("b", 5)], 100) == ["a"]
    assert within_budget([], 100) == []


def test_sizes_are_those_of_what_is_shown() -> None:
    assert options_for("hierarchical", 256) == {"size": 64, "parent": 256, "least": 32}
    assert options_for("late", 400)["window"] == 400
    assert options_for("fixed", 200)["overlap"] == 40


TEXT = "".join(f"Boat {n} carries {n * 7} coils of rope. It left port {n}. " for n in range(30))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data" / "chunking"
    (folder / "corpora").mkdir(parents=True)
    (folder / "corpora" / "boats.md.gz").write_bytes(gzip.compress(TEXT.encode()))
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(["question", "references", "corpus_id"])
    for n in (3, 20):
        said = f"Boat {n} carries {n * 7} coils of rope."
        start = TEXT.index(said)
        gold = [{"content": said, "start_index": start, "end_index": start + len(said)}]
        writer.writerow([f"How many coils does boat {n} carry?", json.dumps(gold), "boats"])
    (folder / "questions.csv.gz").write_bytes(gzip.compress(rows.getvalue().encode()))
    monkeypatch.setenv("RAGSTACK_DATA", str(tmp_path / "data"))
    return folder


def test_corpora_are_read_and_checked(data: Path) -> None:
    corpora = read_corpora()
    assert len(corpora.questions) == 2
    assert len(read_corpora(characters=len(TEXT) // 2).questions) == 1
    (data / "corpora" / "boats.md.gz").write_bytes(gzip.compress((" " + TEXT).encode()))
    with pytest.raises(InputError, match="is not what"):
        read_corpora()
    (data / "questions.csv.gz").unlink()
    with pytest.raises(InputError, match="no chunking data"):
        read_corpora()


def test_the_command_prints_a_row_for_each(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.json"
    options = ["--chunker", "sentence", "--chunker", "window", "--size", "32", "--budget", "60"]
    options += ["--embedder", "hashing", "--json", str(target)]
    done = CliRunner().invoke(app, ["chunkers", *options])
    assert done.exit_code == 0, done.output
    rows = json.loads(target.read_text("utf-8"))["rows"]
    assert [(row["chunker"], row["size"]) for row in rows] == [("sentence", 32), ("window", 32)]
    assert all(len(row["scores"]) == 2 and row["chunks"] > 5 for row in rows)
    assert all(score["recall"] > 0 for row in rows for score in row["scores"])
