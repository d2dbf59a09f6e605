from __future__ import annotations

import json
from pathlib import Path

from ragstack_evals.report import circumstances, interval_cells, write_json
from ragstack_evals.resample import Interval


def test_the_file_is_json_without_nan(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    write_json(path, {"value": float("nan"), "more": [float("inf"), 1.5, {"é": (1, 2)}]})
    assert json.loads(path.read_text("utf-8")) == {
        "value": None,
        "more": [None, 1.5, {"é": [1, 2]}],
    }
    assert [item.name for item in path.parent.iterdir()] == ["results.json"]


def test_circumstances_say_what_a_number_depends_on() -> None:
    found = circumstances(seed=3)
    assert found["seed"] == 3
    assert found["commit"]
    assert {"machine", "python", "versions", "when"} <= set(found)
    assert "numpy" in str(found["versions"])


def test_interval_cells() -> None:
    assert interval_cells(Interval(0.5, 0.25, 0.75, 9)) == ("0.500", "0.250 – 0.750", "9")
    assert interval_cells(Interval(float("nan"), float("nan"), float("nan"), 0)) == ("–", "–", "0")
