"""The benches at their smallest, with the real parts: they end, and say what they promise to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ragstack import models
from ragstack.engine.library import library_file
from ragstack.testing.tiny_model import TinyModel
from ragstack.testing.tiny_projector import TinyProjector
from ragstack_evals import bench_engine, bench_images, bench_steps, bench_vectors
from ragstack_evals.bench import bench
from ragstack_evals.contest.plan import PARTS
from ragstack_evals.packing import WAYS, packing

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="module", autouse=True)
def fetched() -> None:
    """Fetch the models before a test closes the network."""
    for name in (_MODEL, "all-minilm-l6-v2"):
        models.path(name, pull=True)


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Texts are the project's own pages, or made up."""
    monkeypatch.setenv("RAGSTACK_DATA", str(tmp_path / "nowhere"))


def test_the_engine_beside_bare_llama_cpp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "engine.json"
    bench_engine.main(["--model", _MODEL, "--quick", "--no-peers", "--json", str(target)])
    shown = capsys.readouterr().out
    assert "ragstack, guessing" in shown and "targets" in shown
    found = json.loads(target.read_text(encoding="utf-8"))["models"][_MODEL]
    measured = {each["name"] for each in found["targets"] if each["found"] is not None}
    assert {"one stream, reading / bare", "scheduler, a step"} <= measured
    assert all(f"round 1, {part}:" in shown for part in PARTS)


def test_steps_by_who_reads_and_writes_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = TinyModel().write(tmp_path / "tiny.gguf")
    small = ["--model", str(model), "--history", "8", "--largest", "64", "--rounds", "1"]
    folder = str(library_file().parent)
    bench_steps.main([*small, "--library", folder, "--library", folder, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [folder]  # the same one twice is one
    assert {"1 write", "8 write", "16 read", "64 read", "8 write, 56 read"} < set(found[folder])
    assert all(took > 0 for took in found[folder].values())
    bench_steps.main(small)
    assert "installed, ms" in capsys.readouterr().out


def test_images_beside_llama_cpps_own_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TinyModel(context_length=4096).write(tmp_path / "tiny.gguf")
    monkeypatch.setattr(bench_images, "_SHAPE", TinyProjector())
    small = ["--model", str(model), "--layers", "2", "--rounds", "1", "--threads", "1"]
    bench_images.main([*small, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"ragstack, first token", "mtmd's helper, first token"} < set(found)
    assert all(took > 0 for took in found.values())
    bench_images.main(small)
    assert "ragstack, asked again" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        bench_images.main(["--model", "nobody-has-this"])


def test_steps_of_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_steps.main(["--model", "nobody-has-this"])
    assert "nobody-has-this" in capsys.readouterr().err


def test_the_engine_bench_says_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_engine.main(["--model", "nobody-has-this", "--quick", "--no-peers"])
    assert "nobody-has-this" in capsys.readouterr().out


def test_kinds_of_vector_index_side_by_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_vectors", "--rows", "6000", "flat", "binary"])
    bench_vectors.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    assert [row[:2] for row in rows[1:]] == [["flat", "flat"], ["binary", "binary"]]
    assert float(rows[1][3]) == 1.0  # all that are nearest
    assert float(rows[2][3]) > 0.8


def test_one_search_of_it_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "base"
    bench_vectors._fill(folder, 2_000)
    options = ["--folder", str(folder), "--rows", "2000", "--search", "flat"]
    monkeypatch.setattr(sys, "argv", ["bench_vectors", *options])
    bench_vectors.main()
    found = json.loads(capsys.readouterr().out)
    assert found["recall"] == 1.0 and found["p50"] <= found["p95"]


def test_ingest_and_queries_beside_a_stack_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bench.json"
    bench(documents=100, embedded=20, queries=10, work=tmp_path / "work", json_file=target)
    assert "by hand, onnx" in capsys.readouterr().out
    found = json.loads(target.read_text(encoding="utf-8"))
    assert found["query"]["ragstack"]["p50"] > 0
    assert found["ingest"]["by hand, onnx"] > 0
    assert set(found["cold"]) == {"python", "import ragstack", "ragstack search"}


def test_what_each_way_to_pack_keeps(tmp_path: Path) -> None:
    rows = []
    for number in range(8):
        text = f"The lighthouse of place {number} was built in 18{number}0. It stands on a rock."
        start = text.index(f"18{number}0")
        rows.append(
            {
                "id": str(number),
                "title": f"Place {number}",
                "context": text,
                "question": f"When was the lighthouse of place {number} built?",
                "answers": [{"text": f"18{number}0", "start": start}],
                "is_impossible": False,
            }
        )
    data, target = tmp_path / "questions.jsonl", tmp_path / "packing.json"
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    packing(str(data), questions=2, paragraphs=6, work=tmp_path / "work", json_file=target)
    found = json.loads(target.read_text(encoding="utf-8"))["packings"]
    assert set(found) == set(WAYS)
    kept = {name: sum(each["held"]) for name, each in found.items()}
    spent = {name: sum(each["tokens"]) for name, each in found.items()}
    assert kept["all that was found"] >= kept["default"] >= 1.0
    assert spent["all that was found"] > spent["keep 0.3"]
