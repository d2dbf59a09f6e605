"""The fastest format and thread count within a budget, remembered for this file and machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import filelock
import pytest

from ragstack.engine.tools import tune as tuning
from ragstack.engine.tools.tune import Trial, chosen, tune
from ragstack.engine.tools.workbench import Effort, Measurement, Score
from ragstack.errors import InputError, ModelError, ModelUnavailable


@pytest.fixture
def model(tiny_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_path, tmp_path / "m.gguf"))


class Bench:
    """Stands for the machine: what each format and thread count gives, and what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.speed: dict[tuple[str, int], float] = {("F32", 2): 100.0}
        self.perplexity = {"F32": 10.0, "Q4_0": 10.1, "Q8_0": 10.0}
        self.asked: list[tuple[str, int]] = []
        self.fails: dict[tuple[str, int], BaseException] = {}
        monkeypatch.setattr(tuning, "measure", self.measure)
        monkeypatch.setattr(tuning, "quantize", lambda path, out, _: shutil.copy(path, out))
        monkeypatch.setattr(tuning, "physical_cores", lambda: 2)
        monkeypatch.setattr(tuning, "logical_cores", lambda: 4)

    def measure(self, path: Path, *, threads: int, effort: Effort) -> Measurement:
        name = next((f for f in tuning.FORMATS if f.lower() in path.name), "F32")
        self.asked.append((name, threads))
        if (name, threads) in self.fails:
            raise self.fails[name, threads]
        speed = self.speed.get((name, threads), 50.0)
        score = Score(self.perplexity[name], 1.0, 9) if effort.score else None
        return Measurement(1, threads, 128, speed, speed, 0.1, score)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_it_runs_for_real(model: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    effort = Effort(rounds=1, read=32, written=2)
    found = tune(model, quality=1.0, effort=effort, progress=lambda *step: steps.append(step))
    assert found == chosen(model)
    assert found.path.is_file()
    assert {trial.format for trial in found.trials} == {"F32", *tuning.FORMATS}
    assert steps[0][1] == 0
    assert steps[-1][1] == steps[-1][2] == len(found.trials)
    kept = {path.name for path in model.parent.iterdir() if path.suffix == ".gguf"}
    assert kept == {model.name, found.path.name}


def test_the_fastest_good_one_is_kept(bench: Bench, model: Path) -> None:
    bench.speed |= {("Q4_0", 2): 200.0, ("Q8_0", 2): 150.0, ("Q4_0", 4): 260.0}
    found = tune(model, quality=0.02)
    assert (found.best.format, found.threads) == ("Q4_0", 4)
    assert found.gain == pytest.approx(2.6)
    assert found.path == model.with_name("m.tuned-q4_0.gguf")
    assert found.path.is_file()
    assert not model.with_name("m.tuned-q8_0.gguf").exists()


def test_a_budget_keeps_a_poor_one_out(bench: Bench, model: Path) -> None:
    bench.speed |= {("Q4_0", 2): 200.0, ("Q8_0", 2): 150.0}
    assert tune(model, quality=0.005).best.format == "Q8_0"
    found = tune(model, quality=0.02)  # the smaller file was deleted, and is made again
    assert found.best.format == "Q4_0"
    assert found.path.is_file()


def test_noise_is_not_worth_a_file(bench: Bench, model: Path) -> None:
    bench.speed |= {("Q8_0", 2): 102.0, ("F32", 4): 101.0}
    found = tune(model)
    assert found.path == model
    assert found.threads == 2
    assert found.gain == 1.0


def test_an_interrupted_run_goes_on(bench: Bench, model: Path) -> None:
    bench.fails["Q8_0", 2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        tune(model)
    assert chosen(model) is None
    del bench.fails["Q8_0", 2]
    bench.asked.clear()
    tune(model)
    assert bench.asked[0] == ("Q8_0", 2)
    bench.asked.clear()
    tune(model)
    assert bench.asked == []


def test_a_format_that_fails_is_passed_over_and_tried_again(bench: Bench, model: Path) -> None:
    bench.speed["Q4_0", 2] = 500.0
    bench.fails["Q4_0", 2] = ModelError("no kernel")
    assert tune(model).best.format == "F32"
    del bench.fails["Q4_0", 2]
    assert tune(model).best.format == "Q4_0"


def test_the_model_itself_must_run(bench: Bench, model: Path) -> None:
    bench.fails["F32", 2] = ModelError("aborted")
    with pytest.raises(ModelError, match="cannot be measured: aborted"):
        tune(model)


def test_a_choice_holds_for_this_file_and_machine(
    bench: Bench, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.speed["Q4_0", 2] = 500.0
    found = tune(model)
    assert chosen(model) == found
    monkeypatch.setattr(tuning, "physical_cores", lambda: 3)
    assert chosen(model) is None
    monkeypatch.setattr(tuning, "physical_cores", lambda: 2)
    found.path.unlink()
    assert chosen(model) is None
    model.write_bytes(model.read_bytes() + b"\0")
    assert chosen(model) is None
    assert chosen(model.with_name("none.gguf")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"chosen": {"format": "F32"}},
        {"chosen": 3},
        {"trials": "x"},
        {"trials": [None, {"format": 1}]},
        {"quality": None},
    ],
)
def test_a_damaged_choice_is_none(bench: Bench, model: Path, change: dict[str, Any]) -> None:
    tune(model)
    file = model.with_name(model.name + ".tuning.json")
    state = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(state | change), "utf-8")
    assert chosen(model) is None
    file.write_text("{", "utf-8")
    assert chosen(model) is None


def test_two_do_not_tune_one_model(bench: Bench, model: Path) -> None:
    with (
        filelock.FileLock(model.with_name("m.gguf.tuning.lock")),
        pytest.raises(ModelUnavailable, match="another process"),
    ):
        tune(model)


def test_a_budget_is_a_share(model: Path) -> None:
    with pytest.raises(InputError, match="quality is 2"):
        tune(model, quality=2)


def test_a_trial_that_failed_takes_forever() -> None:
    assert Trial("Q4_0", 1, failed="x").seconds == float("inf")
    assert Trial("Q4_0", 1, 600.0, 100.0).seconds == pytest.approx(2.0)
