from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ragstack import registry
from ragstack.cli import sync as command
from ragstack.cli.app import app

TOML = """
[embed]
use = "hashing"
[index.lexical]
use = "bm25"
[index.vector]
use = "none"
[chunk]
use = "fixed"
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The ferry goes at nine.")
    folder = tmp_path / "kb"
    folder.mkdir()
    docs = json.dumps([str(tmp_path / "docs")])
    (folder / "ragstack.toml").write_text(
        TOML + f'[sync.docs]\nuse = "files"\npaths = {docs}\n'
        '[sync.bad]\nuse = "files"\npaths = ["/nowhere/at/all"]\n'
    )
    return folder


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_one_place_and_all(base: Path) -> None:
    one = run("sync", "docs", "--base", str(base))
    assert one.exit_code == 0, one.output
    assert "docs" in one.output and "1 added" in one.output
    every = run("sync", "--base", str(base), "--json")
    assert every.exit_code == 1
    docs, bad = json.loads(every.stdout)["places"]
    assert (docs["name"], docs["error"], docs["report"]["unchanged"][0][-5:]) == (
        "docs", "", "a.txt",
    ) or docs["report"]["unchanged"] == []  # fmt: skip
    assert "no file or folder" in bad["error"] and bad["hint"]


def test_what_is_not_configured(base: Path, tmp_path: Path) -> None:
    unknown = run("sync", "dcos", "--base", str(base))
    assert unknown.exit_code == 1 and "did you mean 'docs'" in unknown.output
    none = run("sync", "--base", str(tmp_path / "other"))
    assert none.exit_code == 1 and "no place to sync" in none.output
    wrong = run("sync", "docs", "--base", str(base), "--every", "often")
    assert wrong.exit_code == 2 and "15m" in wrong.output


def test_every_stays_and_syncs_what_is_due(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", nap)
    found = run("sync", "docs", "--base", str(base), "--every", "30s")
    assert "1 added" in found.output
    assert len(naps) == 1 and 20.0 < naps[0] <= 30.0


def test_watching_takes_in_at_each_sign_and_survives_a_failure(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = tmp_path / "docs"

    def bursts(paths: Sequence[Path], *, ignore: Sequence[Path]) -> Iterator[None]:
        assert list(ignore) == [base]
        yield
        docs.rename(tmp_path / "away")
        yield
        (tmp_path / "away").rename(docs)
        (docs / "b.txt").write_text("Another.")
        yield

    real = registry.load
    monkeypatch.setattr(
        registry, "load", lambda kind, name: bursts if kind == "watchers" else real(kind, name)
    )
    found = run("ingest", str(docs), "--watch", "--base", str(base))
    assert found.exit_code == 0, found.output
    assert found.output.count("1 added") == 2 and "no file or folder" in found.output
