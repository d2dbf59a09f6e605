from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ragstack.errors import InputError
from ragstack_evals.command import app


def written(path: Path, systems: dict[str, Any]) -> str:
    entries = {system: {"by_query": scores} for system, scores in systems.items()}
    path.write_text(json.dumps({"collections": {"tiny": {"systems": entries}}}), "utf-8")
    return str(path)


def test_two_runs_are_compared_on_the_queries_of_both(tmp_path: Path) -> None:
    before = {"hybrid": {"nDCG@10": {"q1": 0.5, "q2": 0.5, "q9": 0.0}}, "gone": {"q1": 1.0}}
    after = {"hybrid": {"nDCG@10": {"q1": 1.0, "q2": 0.5, "q8": 1.0}}, "new": {"q1": 1.0}}
    files = [written(tmp_path / "a.json", before), written(tmp_path / "b.json", after)]
    done = CliRunner().invoke(app, ["compare", *files], catch_exceptions=False)
    (line,) = [line for line in done.output.splitlines() if "tiny, hybrid" in line]
    assert all(cell in line for cell in ("0.500", "0.750", "+0.250"))
    assert "gone" not in done.output and "new" not in done.output


def test_files_of_peers_too(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{n}.json", {"ragstack": {"q1": n / 2}}) for n in (1, 2)]
    done = CliRunner().invoke(app, ["compare", *files], catch_exceptions=False)
    assert "+0.500" in done.output


@pytest.mark.parametrize("text", ["{", "{}", '{"collections": {"a": {"systems": {"b": 1}}}}', "[]"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    good = written(tmp_path / "good.json", {"ragstack": {"q1": 1.0}})
    with pytest.raises(InputError, match="no result"):
        CliRunner().invoke(app, ["compare", good, str(tmp_path / "x.json")], catch_exceptions=False)


def test_runs_that_share_nothing(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{n}.json", {n: {"q1": 1.0}}) for n in ("a", "b")]
    with pytest.raises(InputError, match="no system on the same query"):
        CliRunner().invoke(app, ["compare", *files], catch_exceptions=False)
