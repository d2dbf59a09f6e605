"""Jobs in another process: results, progress, errors of their kind, and deaths."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ragstack.engine.tools import workbench
from ragstack.engine.tools.workbench import Effort, build_info, compare, measure, run_job
from ragstack.errors import (
    InputError,
    MissingExtra,
    ModelError,
    NotEnoughSpace,
    UnsupportedCapability,
)
from ragstack.testing.tiny_model import TinyModel, write_gguf

QUICK = Effort(rounds=1, read=32, written=2)


def test_a_model_is_measured(tiny_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = measure(
        tiny_path,
        threads=1,
        text="the inner ear",
        effort=QUICK,
        progress=lambda *step: steps.append(step),
    )
    assert found.bytes == tiny_path.stat().st_size
    assert found.prefill > 0
    assert found.decode > 0
    assert found.score is not None
    assert found.score.perplexity > 1
    assert steps[-1] == (2, 2)
    speed_alone = measure(
        tiny_path, threads=1, text="x", effort=Effort(rounds=1, read=32, written=2, score=False)
    )
    assert speed_alone.score is None


def test_models_are_compared(tiny_path: Path, tmp_path: Path) -> None:
    same = compare(tiny_path, tiny_path, text="the inner ear")
    assert same.first == same.second
    assert same.divergence == pytest.approx(0.0, abs=1e-9)
    assert same.top_1 == 1.0
    other = TinyModel(seed=1).write(tmp_path / "other.gguf")
    found = compare(tiny_path, other, text="the inner ear")
    assert found.divergence is not None
    assert found.divergence > 0.1


def test_without_a_common_vocabulary_there_is_no_agreement(
    tiny_path: Path, tiny_sentencepiece_path: Path
) -> None:
    found = compare(tiny_path, tiny_sentencepiece_path, text="the inner ear")
    assert found.divergence is None
    assert found.top_1 is None
    assert found.first.bits_per_character > 0
    assert found.second.bits_per_character > 0


def test_what_a_job_raises_is_raised_here(tiny_path: Path) -> None:
    with pytest.raises(InputError, match="no tokens"):
        measure(tiny_path, text="", effort=QUICK)
    with pytest.raises(InputError, match="threads=-1"):
        measure(tiny_path, threads=-1)
    with pytest.raises(InputError, match="written is 513"):
        measure(tiny_path, effort=Effort(written=513))


def test_a_file_that_llama_cpp_refuses_says_why(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    write_gguf(
        path,
        {"general.architecture": "llama", "llama.block_count": 1},
        {"x.weight": np.ones((4, 32), np.float32)},
    )
    with pytest.raises(ModelError, match=r"half\.gguf"):
        measure(path, effort=QUICK)


def test_what_is_no_whole_model_of_text_is_refused(tmp_path: Path) -> None:
    tensors = {"x.weight": np.ones((4, 32), np.float32)}
    encoder, part = tmp_path / "encoder.gguf", tmp_path / "part.gguf"
    write_gguf(encoder, {"general.architecture": "bert", "bert.block_count": 1}, tensors)
    with pytest.raises(UnsupportedCapability, match="encoder"):
        measure(encoder)
    write_gguf(part, {"general.architecture": "llama", "split.count": 3}, tensors)
    with pytest.raises(ModelError, match="one of 3 parts"):
        measure(part)


def test_two_models_must_fit_together(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = workbench.gguf.read_header(tiny_path)
    alone = workbench.need(header, workbench.Window(2 * workbench.WINDOW)).total
    monkeypatch.setattr("ragstack.engine.memory.available", lambda: alone)
    with pytest.raises(NotEnoughSpace):
        compare(tiny_path, tiny_path)


def _python_that(does: str, folder: Path) -> str:
    """Return a program that stands for the interpreter and does one thing."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport os, sys\n{does}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("does", "kind", "said"),
    [
        ("os.abort()", ModelError, r"aborted \(signal 6\)"),
        ("sys.exit('GGML_ASSERT(x) failed')", ModelError, r"ended with 1: GGML_ASSERT\(x\)"),
        ("sys.exit(\"No module named 'llama_cpp'\")", MissingExtra, "llama_cpp"),
        ("print('[1, 2]'); print('chatter')", ModelError, "ended with 0"),
        ('print(\'{"error": "Surprise", "message": "m", "hint": ""}\')', ModelError, "^m$"),
        ("print('{\"result\": {}}', flush=True); os.abort()", ModelError, "signal 6"),
    ],
)
def test_a_death_is_an_error_here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    kind: type[Exception],
    said: str,
) -> None:
    monkeypatch.setattr(workbench.sys, "executable", _python_that(does, tmp_path))
    with pytest.raises(kind, match=said):
        run_job({"job": "build"})


def test_an_interrupted_job_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    does = (
        "import time\nopen(os.path.join(os.path.dirname(__file__), 'pid'), 'w')"
        ".write(str(os.getpid()))\n"
        'print(\'{"done": 0, "total": 9}\', flush=True); time.sleep(60)'
    )
    monkeypatch.setattr(workbench.sys, "executable", _python_that(does, tmp_path))

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_job({"job": "build"}, interrupt)
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text("utf-8")), 0)


def test_a_job_ends_when_nobody_listens(tiny_path: Path, tmp_path: Path) -> None:
    files = {"path": str(tiny_path), "out": str(tmp_path / "a.gguf")}
    job = {"job": "quantize", **files, "ftype": 7, "threads": 1, "dry": False}
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ragstack.engine.tools.trial", json.dumps(job)],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    assert done.returncode == 1
    assert not (tmp_path / "a.gguf").exists() or (tmp_path / "a.gguf").stat().st_size == 0


def test_the_build_says_what_it_is() -> None:
    info = build_info()
    assert info["version"].count(".") == 2
    assert info["cores"] >= 1
    assert info["features"]["CPU"]
    assert isinstance(info["gpu_build"], bool)
    assert info["devices"]
