"""The fit of a fusion, and the table of all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ragstack.errors import InputError
from ragstack.index.calibration import Calibration, calibrated
from ragstack.types import Hit
from ragstack_evals.command import app
from ragstack_evals.fusion import Found, fit, ways
from ragstack_evals.logistic import fit_logistic


def test_the_fit_finds_the_odds_that_made_the_data() -> None:
    random = np.random.default_rng(7)
    rows = random.normal(size=(20_000, 2))
    likely = 1 / (1 + np.exp(-(-1.0 + rows @ [2.0, -0.5])))
    intercept, weights = fit_logistic(rows, random.random(20_000) < likely, ridge=1e-6)
    assert intercept == pytest.approx(-1.0, abs=0.06)
    assert weights == pytest.approx([2.0, -0.5], abs=0.06)


def test_at_the_fit_the_slope_is_nought() -> None:
    random = np.random.default_rng(3)
    rows, right = random.normal(size=(200, 3)), random.random(200) < 0.3
    intercept, weights = fit_logistic(rows, right, ridge=2.0)
    likely = 1 / (1 + np.exp(-(intercept + rows @ weights)))
    assert (right - likely).sum() == pytest.approx(0, abs=1e-6)
    assert rows.T @ (right - likely) == pytest.approx(2.0 * weights, abs=1e-6)


def test_separable_data_has_a_fit() -> None:
    rows = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    _, weights = fit_logistic(rows, np.array([False, False, True, True]))
    assert 0 < weights[0] < 10


@pytest.mark.parametrize("right", [[True, True], [False, False]])
def test_what_cannot_be_fitted_is_refused(right: list[bool]) -> None:
    with pytest.raises(InputError, match="nothing can be fitted"):
        fit_logistic(np.ones((2, 1)), np.array(right))
    with pytest.raises(InputError, match="shape"):
        fit_logistic(np.ones((3, 1)), np.array(right))


def _found(name: str, *, trusted: str) -> Found:
    """Return rankings of which one is right at its head and the other at its foot."""
    other = {"lexical": "vector", "vector": "lexical"}[trusted]
    rankings = {}
    for number in range(20):
        good, bad = f"{number}-good", f"{number}-bad"
        rankings[f"q{number}"] = {
            trusted: [Hit(good, 9.0), Hit(bad, 1.0)],
            other: [Hit(bad, 9.0), Hit(good, 1.0)],
        }
    return Found(name, rankings, {f"q{n}": {f"{n}-good": 1} for n in range(20)})


@pytest.mark.parametrize("trusted", ["lexical", "vector"])
def test_it_learns_whom_to_trust(trusted: str) -> None:
    found = _found("a", trusted=trusted)
    fitted = fit([found])
    assert fitted.fitted_on == {"a": 20}
    best = calibrated(found.rankings["q3"], fitted)
    assert [hit.chunk_id for hit in best] == ["3-good", "3-bad"]
    assert best[0].score > 0.5 > best[1].score


def test_collections_weigh_alike() -> None:
    small = _found("small", trusted="lexical")
    one = Found("one", {"q0": small.rankings["q0"]}, small.qrels)
    large = _found("large", trusted="vector")
    weights = fit([one, large]).weights
    assert weights["lexical"]["rank"] == pytest.approx(weights["vector"]["rank"], abs=1e-3)


def test_without_others_nothing_is_calibrated() -> None:
    assert "calibrated" not in ways(["lexical", "vector"], [])
    assert "calibrated" in ways(["lexical", "vector"], [_found("a", trusted="lexical")])
    with pytest.raises(InputError, match="anything to fit"):
        fit([Found("empty", {}, {})])


def test_the_command(tmp_path: Path) -> None:
    for name, words in (("one", ("roof", "boat")), ("two", ("bread", "ferry"))):
        folder = tmp_path / name
        folder.mkdir()
        corpus = [{"_id": word, "title": "", "text": f"The {word} is old."} for word in words]
        (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), "utf-8")
        queries = [{"_id": f"q-{word}", "text": f"which {word}?"} for word in words]
        (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), "utf-8")
        qrels = "".join(f"q-{word}\t{word}\t1\n" for word in words)
        (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}", "utf-8")
    options = [
        *(f"--data={tmp_path / name}" for name in ("one", "two")),
        f"--fit={tmp_path / 'fit.json'}",
        f"--json={tmp_path / 'out.json'}",
        "--set=embed.use=hashing",
    ]
    ran = CliRunner().invoke(app, ["fusion", *options])
    assert ran.exit_code == 0, ran.output
    assert set(Calibration.read(tmp_path / "fit.json").fitted_on.values()) == {2}
    results = json.loads((tmp_path / "out.json").read_text("utf-8"))["collections"]
    assert {name: len(ways_) for name, ways_ in results.items()} == {"one": 18, "two": 18}
    assert results["one"]["lexical alone"] == {"q-roof": 1.0, "q-boat": 1.0}
