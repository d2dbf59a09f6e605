"""The start of the pages, measured: what is missing is said, and a round on a tiny base."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragstack_evals.bench_chat import STEPS, summary
from ragstack_evals.command import app


def test_the_median_of_each_step() -> None:
    rounds = [
        {"drawn": 3.0, "answer": 1.0},
        {"drawn": 9.0, "answer": 2.0},
        {"drawn": 4.0, "answer": 9.0},
    ]
    assert summary(rounds) == {"drawn": 4.0, "answer": 2.0}


def test_no_chromium_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = CliRunner().invoke(app, ["bench-chat", "--rounds", "1"])
    assert found.exit_code == 2
    assert "no chromium here" in found.output and "apt install chromium" in found.output


def test_no_playwright_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    found = CliRunner().invoke(app, ["bench-chat", "--rounds", "1"])
    assert found.exit_code == 1
    assert "playwright" in found.output


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_a_round(tmp_path: Path) -> None:
    (tmp_path / "ragstack.toml").write_text(
        '[embed]\nuse = "hashing"\n[generate]\nuse = "scripted"\nreplies = ["Yes."]\n',
        encoding="utf-8",
    )
    given = ["bench-chat", "--rounds", "1", "--json", "--base", str(tmp_path)]
    found = CliRunner().invoke(app, given)
    told = json.loads(found.stdout)
    (one,) = told["rounds"]
    assert set(STEPS) <= set(one)
    assert 0 < one["server"] < one["drawn"] and one["answer"] > 0
    assert found.exit_code == (0 if told["reached"] else 1)
