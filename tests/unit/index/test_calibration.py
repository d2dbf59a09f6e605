"""Fusion by what judged questions taught: the numbers, and the file they are kept in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import ConfigError
from ragstack.index.calibration import Calibration, calibrated, features
from ragstack.index.fusion import weighted_scores
from ragstack.index.hybrid import HybridIndex
from ragstack.types import Hit

_LEXICAL = [Hit("a", 8.0), Hit("b", 2.0)]
_VECTOR = [Hit("b", 0.9), Hit("c", 0.5)]
_FITTED = Calibration(
    -2.0, {"lexical": {"share": 3.0}, "vector": {"spread": 5.0, "rank": 1.0}}, {"scifact": 100}
)


def test_features() -> None:
    found = features({"lexical": _LEXICAL, "vector": _VECTOR})
    assert found["a"] == {"lexical": {"found": 1.0, "share": 1.0, "spread": 6.0, "rank": 1.0}}
    assert found["b"]["lexical"] == {"found": 1.0, "share": 0.25, "spread": 0.0, "rank": 0.5}
    assert found["b"]["vector"]["spread"] == pytest.approx(0.4)


def test_the_score_is_a_probability() -> None:
    hits = calibrated({"lexical": _LEXICAL, "vector": _VECTOR}, _FITTED)
    odds = {"a": -2 + 3.0, "b": -2 + 0.75 + 5 * 0.4 + 1, "c": -2 + 0.0 + 0.5}
    assert [hit.chunk_id for hit in hits] == ["b", "a", "c"]
    for hit in hits:
        assert hit.score == pytest.approx(1 / (1 + math.exp(-odds[hit.chunk_id])))


def test_far_odds_stay_numbers() -> None:
    for intercept, expected in ((-5000.0, 0.0), (5000.0, 1.0)):
        (hit,) = calibrated({"a": [Hit("x", 1.0)]}, Calibration(intercept, {"a": {}}))
        assert hit.score == expected


def test_an_index_it_was_not_fitted_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"knows no index 'graph'"):
        calibrated({"graph": []}, _FITTED)


def test_the_file_keeps_everything(tmp_path: Path) -> None:
    file = tmp_path / "fusion.json"
    _FITTED.write(file)
    assert Calibration.read(file) == _FITTED


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"intercept": 1.0},
        {"intercept": "much", "weights": {}},
        {"intercept": 1.0, "weights": {"lexical": {"hue": 1.0}}},
        {"intercept": 1.0, "weights": {"lexical": 3}},
        {"intercept": math.nan, "weights": {}},
        {"intercept": 1.0, "weights": {"lexical": {"share": math.inf}}},
    ],
)
def test_what_is_no_calibration_is_refused(data: Any, tmp_path: Path) -> None:
    file = tmp_path / "fusion.json"
    file.write_text(json.dumps(data), "utf-8")
    with pytest.raises(ConfigError, match="no calibration"):
        Calibration.read(file)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        Calibration.read(tmp_path / "none.json")
    assert "ragstack eval fusion --fit" in caught.value.hint


def test_a_hybrid_index_needs_the_one_it_names() -> None:
    with pytest.raises(ConfigError, match="needs a calibration"):
        HybridIndex({}, fusion="calibrated")


def test_scores_in_deviations() -> None:
    hits = [Hit("a", 4.0), Hit("b", 2.0), Hit("c", 0.0)]
    deviation = math.sqrt(8 / 3)
    found = weighted_scores({"x": hits}, normalise={"x": "zscore"})
    assert [hit.score for hit in found] == pytest.approx([4 / deviation, 2 / deviation, 0.0])
    found = weighted_scores({"x": hits}, normalise={"x": "dbsf"})
    low = 2 - 3 * deviation
    assert [hit.score for hit in found] == pytest.approx(
        [(score - low) / (6 * deviation) for score in (4.0, 2.0, 0.0)]
    )
    alike = [Hit("a", 1.0), Hit("b", 1.0)]
    assert [h.score for h in weighted_scores({"x": alike}, normalise={"x": "dbsf"})] == [0.5, 0.5]
    assert [h.score for h in weighted_scores({"x": alike}, normalise={"x": "zscore"})] == [1, 1]
