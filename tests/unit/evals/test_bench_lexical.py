from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragstack_evals.command import app
from ragstack_evals.lexical_systems import SYSTEMS, queries_of, texts_of


def test_the_same_texts_for_all() -> None:
    chunks = list(chain.from_iterable(texts_of(1_200, 3)))
    assert [len(batch) for batch in texts_of(1_200, 3)] == [1_000, 200]
    assert chunks == list(chain.from_iterable(texts_of(1_200, 3)))
    assert len({chunk.id for chunk in chunks}) == 1_200
    lengths = sorted(len(chunk.text.split()) for chunk in chunks)
    assert 80 < lengths[600] < 130
    assert lengths[-60] / lengths[600] > 2.0
    queries = queries_of(20, 3)
    assert len(set(queries)) == 20
    assert all(2 <= len(query.split()) <= 7 for query in queries)


@pytest.mark.slow
def test_a_small_bench(tmp_path: Path) -> None:
    """Every system in a process of its own; all find the same among a hundred texts."""
    target = tmp_path / "results.json"
    arguments = ["bench-lexical", "--chunks", "120", "--queries", "10", "--json", str(target)]
    done = CliRunner().invoke(app, [*arguments, "--work", str(tmp_path)])
    assert done.exit_code == 0, done.output
    results = json.loads(target.read_text())["sizes"]["120"]
    assert tuple(results) == SYSTEMS
    for name, result in results.items():
        assert result["work_p50_ms"] > 0
        assert result["same"] > (0.6 if name == "rank_bm25" else 0.9)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_an_unknown_system(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench-lexical", "--system", "grep"])
    assert "no system is named 'grep'" in str(done.exception)
