"""The bench of a draw runs, and names every setting once."""

from __future__ import annotations

import json

import pytest

from ragstack_evals import bench_sampling


def test_every_setting_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    bench_sampling.main(["--vocabulary", "5000", "--rounds", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert list(found)[:-1] == list(bench_sampling.SETTINGS)
    assert all(times["peaked"] > 0.0 and times["flat"] > 0.0 for times in found.values())


def test_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    bench_sampling.main(["--vocabulary", "1000", "--rounds", "1"])
    assert "mirostat 2" in capsys.readouterr().out
