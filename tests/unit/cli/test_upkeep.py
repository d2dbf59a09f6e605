from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragstack.cli.app import app

Run = Callable[..., Result]

CONFIG = '[embed]\nuse = "hashing"\n[generate]\nuse = "scripted"\nreplies = ["x"]\n'


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "ragstack.toml").write_text(CONFIG, "utf-8")
    return folder


@pytest.fixture
def run(base: Path, corpus_folder: Path) -> Run:
    """Runs a command on a base that holds the tiny corpus."""

    def call(*arguments: object, code: int = 0, at: Path = base) -> Result:
        words = [*(str(argument) for argument in arguments), "--base", str(at)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    call("ingest", corpus_folder)
    return call


def data(result: Result) -> Any:
    return json.loads(result.stdout)


def test_reindex_with_another_embedder_and_chunker(run: Run) -> None:
    options = ("--set", "embed.dimensions=64", "--chunker", "fixed", "--set", "chunk.size=60")
    report = data(run("reindex", *options, "--set", "chunk.overlap=0", "--json"))
    assert (report["generation"], report["documents"]) == (1, 8)
    stats = data(run("stats", "--json"))
    assert (stats["generation"], stats["embedder"]) == (1, report["embedder"])
    assert "64" in report["embedder"]
    assert data(run("search", "lighthouse", "--json"))
    assert "generation 2: 8 documents" in run("reindex").stdout
    assert "nothing was being built" in run("reindex", "--abandon").stdout
    assert data(run("reindex", "--abandon", "--json")) == {"abandoned": False}


@pytest.mark.parametrize("wrong", ["size=3", "chunk.size", "rerank.use=x", "=", "chunk.=3"])
def test_options_that_mean_nothing(run: Run, wrong: str) -> None:
    assert "embed.NAME=VALUE" in run("reindex", "--set", wrong, code=2).output


def test_verify_says_what_is_wrong_and_repairs(run: Run, base: Path) -> None:
    assert data(run("verify", "--json"))["ok"]
    assert run("verify").stdout.count("ok") == 2
    for file in (base / "collections" / "default" / "vector").glob("*.f32"):
        file.write_bytes(file.read_bytes()[:100])
    found = data(run("verify", "--json", code=1))
    assert [check["slot"] for check in found["checks"] if check["fault"]] == ["vector"]
    assert "wrong" in run("verify", code=1).stdout
    assert "repaired" in run("verify", "--repair", "--all").stdout
    assert data(run("verify", "--all", "--json"))["ok"]


def test_compact(run: Run) -> None:
    report = data(run("compact", "--json"))
    assert report["after"] > 0
    assert "bytes before" in run("compact").stdout


def test_duplicates(run: Run, base: Path, corpus_folder: Path) -> None:
    assert "no two" in run("duplicates").stdout
    (corpus_folder / "again.txt").write_bytes((corpus_folder / "bees.txt").read_bytes())
    run("ingest", corpus_folder)
    (pair,) = data(run("duplicates", "--json"))
    assert {Path(pair["source"]).name, Path(pair["of"]).name} == {"again.txt", "bees.txt"}
    assert run("duplicates", "--threshold", "0.9").stdout.startswith("1.00")
    run("duplicates", "--threshold", "7", code=2)
    with (base / "ragstack.toml").open("a") as file:
        file.write('[ingest]\nnear_duplicates = "skip"\n')
    (corpus_folder / "third.txt").write_bytes((corpus_folder / "bees.txt").read_bytes())
    assert "skipped" in run("ingest", corpus_folder).stdout


def test_facets(run: Run) -> None:
    rows = data(run("facets", "language", "--json"))
    assert {row["value"]: row["documents"] for row in rows} == {"en": 5, "fr": 3}
    assert "fr" in run("facets", "language", "--where", "language=fr").stdout
    assert "language" in run("facets").stdout
    assert "no document" in run("facets", "never").stdout


def test_collections(run: Run) -> None:
    assert [row["name"] for row in data(run("collections", "list", "--json"))] == ["default"]
    assert data(run("collections", "copy", "default", "two", "--json"))["documents"] == 8
    assert "now three" in run("collections", "rename", "two", "three").stdout
    assert "three" in run("collections", "list").stdout
    assert data(run("search", "lighthouse", "-c", "three", "--json"))
    assert "8 documents" in run("collections", "delete", "three").stdout
    assert "known: default" in run("collections", "delete", "three", code=1).output
    run("collections", "copy", "default", "no name", code=2)


def test_least_scores(run: Run) -> None:
    scores = [row["score"] for row in data(run("search", "lighthouse", "--json"))]
    some = data(run("search", "lighthouse", "--min-score", scores[1], "--json"))
    assert [row["score"] for row in some] == [score for score in scores if score >= scores[1]]
    assert data(run("search", "lighthouse", "--min-score", "vector=2", "--json")) == []
    for wrong in (["x"], ["vector="], ["1", "2"], ["1", "vector=2"]):
        options = [word for each in wrong for word in ("--min-score", each)]
        assert "vector=0.3" in run("search", "x", *options, code=2).output


@pytest.mark.parametrize(
    "words", ["reindex", "verify", "compact", "duplicates", "facets", "collections list"]
)
def test_a_base_that_is_not_there(run: Run, tmp_path: Path, words: str) -> None:
    assert "there is no base" in run(*words.split(), at=tmp_path / "none", code=1).output
