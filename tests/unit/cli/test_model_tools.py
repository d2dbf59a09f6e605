"""``ragstack models show | quantize | compare | tune``, and what ``check`` says of the engine."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ragstack.cli import check as checking
from ragstack.cli.app import app
from ragstack.cli.engine_check import engine_report, engine_text
from ragstack.engine.gguf import Header, Tensor, read_header
from ragstack.engine.memory import Window
from ragstack.engine.tools import tune, workbench
from ragstack.generate.local import LocalGenerator
from ragstack.testing.tiny_model import TinyModel, write_gguf
from ragstack.testing.tiny_projector import write_seeing

TEXT = "the inner ear of the other"


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def data(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny model in a cache of its own, measured on a few words."""
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(workbench, "sample_text", lambda: TEXT)
    quick = workbench.Effort(rounds=1, read=32, written=2)
    monkeypatch.setattr(workbench, "Effort", lambda: quick)
    monkeypatch.setattr(tune, "Effort", lambda: quick)
    file = TinyModel().write(tmp_path / "tiny.gguf")
    run("models", "add", file)
    return "tiny"


def test_show_says_what_it_is_and_takes(tiny: str) -> None:
    found = data("models", "show", tiny, "--context", 1024, "--streams", 2, "--cache", "q8_0")
    assert found["architecture"] == "llama"
    assert found["kind"] == "dense"
    assert (found["layers"], found["heads"], found["kv_heads"], found["width"]) == (2, 4, 2, 64)
    assert found["vocabulary"] == 273
    assert found["trained_context"] == 512
    assert found["chat_template"] is True
    assert found["tensors"] == [{"type": "F32", "tensors": 21, "bytes": found["bytes"]}]
    assert found["parameters"] * 4 == found["bytes"]
    assert found["need"]["cache"] == 2 * 1024 * 2 * 2 * 32 * 34 // 32
    parts = ("weights", "cache", "state", "work")
    assert found["need"]["total"] == sum(found["need"][part] for part in parts)
    assert found["cannot"] == {}
    shown = run("models", "show", tiny, "--context", 1024, "--streams", 2).stdout
    assert "2 streams of 1,024 tokens" in shown
    assert "trained on 512 tokens" in shown


def test_show_says_what_a_kind_cannot_do(tmp_path: Path) -> None:
    path = tmp_path / "state.gguf"
    metadata = {"general.architecture": "mamba", "mamba.block_count": 2, "mamba.ssm.state_size": 8}
    write_gguf(path, metadata, {"x.weight": np.ones((4, 32), np.float32)})
    shown = run("models", "show", path).stdout
    assert "mamba, recurrent" in shown
    assert "speculation: a state runs through" in shown


def test_quantize_adds_a_smaller_model(tiny: str, tmp_path: Path) -> None:
    left = tmp_path / "cache" / "models" / ".quantize-killed"
    left.mkdir()
    os.utime(left, (0, 0))
    found = data("models", "quantize", tiny, "--to", "q8_0")
    assert found["name"] == "tiny-q8_0"
    assert found["after"]["bytes"] == found["bytes"] < found["before"]["bytes"]
    assert found["note"] == ""
    assert found["before"]["score"]["perplexity"] > 1
    names = [entry["name"] for entry in data("models", "list")]
    assert "tiny-q8_0" in names
    assert Path(found["path"]).is_file()
    assert not list((tmp_path / "cache" / "models").glob(".quantize-*"))
    again = data("models", "quantize", tiny, "--to", "Q8_0", code=2)
    assert "taken" in again["error"]
    same = data("models", "quantize", "tiny-q8_0", "--to", "Q8_0", code=2)
    assert "already" in same["error"]
    shown = run("models", "quantize", "tiny-q8_0", "--to", "Q4_0", "--name", "small")
    assert "rounded before" in shown.stdout
    assert "perplexity" in shown.stdout
    assert "measuring after" in shown.stderr


def test_quantize_writes_a_file_and_adds_nothing(tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    found = data("models", "quantize", tiny, "--to", "Q4_0", "--out", out, "--no-measure")
    assert out.stat().st_size == found["bytes"]
    assert found["name"] is None
    assert "before" not in found
    assert "tiny-q4_0" not in [entry["name"] for entry in data("models", "list")]
    taken = data("models", "quantize", tiny, "--to", "Q4_0", "--out", out, code=2)
    assert "already" in taken["error"]


def test_compare_says_how_near_two_models_are(tiny: str, tmp_path: Path) -> None:
    other = TinyModel(seed=3).write(tmp_path / "other.gguf")
    found = data("models", "compare", tiny, other)
    assert found["divergence"] > 0.1
    assert 0 <= found["top_1"] < 1
    assert "KL divergence" in run("models", "compare", tiny, other).stdout
    foreign = TinyModel(sentencepiece=True).write(tmp_path / "foreign.gguf")
    assert "vocabularies differ" in run("models", "compare", tiny, foreign).stdout


def test_tune_keeps_what_it_found(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    found = data("models", "tune", tiny, "--quality", 1)
    assert found["threads"] >= 1
    assert found["format"] in {trial["format"] for trial in found["trials"]}
    assert Path(found["path"]).is_file()
    shown = run("models", "tune", tiny, "--quality", 1)
    assert "chosen:" in shown.stdout
    assert "the machine is busy" in shown.stderr
    run("models", "rm", tiny)
    assert not Path(found["path"]).exists()


def test_what_is_no_model_file_is_refused(tmp_path: Path) -> None:
    assert "no model is named" in data("models", "show", "nonesuch", code=1)["error"]
    other = tmp_path / "x.txt"
    other.write_text("x", "utf-8")
    assert "no GGUF" in data("models", "show", other, code=2)["error"]
    model = TinyModel().write(tmp_path / "x.gguf")
    assert "context is 0" in data("models", "show", model, "--context", 0, code=2)["error"]
    assert "0 streams" in data("models", "show", model, "--streams", 0, code=2)["error"]


def _gpu(**more: Any) -> dict[str, Any]:
    gpu = {"name": "CUDA0", "description": "A card", "kind": "gpu", "free": 10**9, "total": 10**9}
    return {
        "version": "1.2.3",
        "cores": 4,
        "threads": 8,
        "features": {"CPU": ["AVX2", "F16C"]},
        "gpu_build": True,
        "images": False,
        "own_kernels": "AVX2",
        "devices": [gpu],
        **more,
    }


HEADER = Header(
    Path("x"),
    {"general.architecture": "a", "a.block_count": 10},
    {},
    (Tensor("t", (1,), 0, 0, 1_100_000_000),),
)


@pytest.mark.parametrize(
    ("build", "header", "layers", "said"),
    [
        (_gpu(), HEADER, -1, "11 of 11 layers go onto it, but only 10 fit: set gpu_layers = 10"),
        (_gpu(), HEADER, 4, "4 of 11 layers go onto it; flash"),
        (_gpu(), None, -1, "CUDA0 (A card, 1.0 GB free); flash attention"),
        (_gpu(devices=[]), HEADER, -1, "none is found"),
        (_gpu(gpu_build=False), HEADER, -1, "no GPU backend in this build: docs/guides/gpu.md"),
        (_gpu(), HEADER, -1, "(AVX2); ragstack's own kernels (AVX2); CUDA0"),
        (_gpu(own_kernels=""), HEADER, -1, "kernels as llama.cpp has them: a build by `make`"),
        (_gpu(features={"CPU": ["AMX_INT8"]}), HEADER, -1, "built with AMX_INT8, which GCC 12 "),
    ],
)
def test_check_says_how_it_is_built_and_what_goes_onto_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
    build: dict[str, Any],
    header: Header | None,
    layers: int,
    said: str,
) -> None:
    monkeypatch.setattr("ragstack.cli.engine_check.build_info", lambda: build)
    report = engine_report(header, Window(512), layers)
    assert said in engine_text(report)


def test_check_says_what_the_kind_of_model_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragstack.cli.engine_check.build_info", _gpu)
    keys = {"general.architecture": "mamba", "mamba.block_count": 2, "mamba.ssm.state_size": 8}
    report = engine_report(
        Header(Path("x"), keys, {}, HEADER.tensors), Window(512, cache_type="q8_0"), 0, "on"
    )
    said = engine_text(report)
    assert "flash attention: on; keys and values kept as q8_0" in said
    assert "the model is recurrent: no prefix sharing, no rollback, no speculation; a" in said
    assert report["kind"] == "recurrent"
    assert "images: none in this build" in said


@pytest.mark.parametrize(
    ("projector", "beside", "said"),
    [
        ("auto", True, "images: read with mmproj.gguf"),
        ("auto", False, "images: this build reads them; no projector lies beside the model"),
        ("off", True, 'images: this build reads them; projector is "off"'),
        ("nowhere.gguf", False, "images: this build reads them; .*nowhere.gguf"),
    ],
)
def test_check_says_what_reads_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, projector: str, beside: bool, said: str
) -> None:
    monkeypatch.setattr("ragstack.cli.engine_check.build_info", lambda: _gpu(images=True))
    model, lies = write_seeing(tmp_path, "mlp")
    if not beside:
        lies.unlink()
    report = engine_report(read_header(model), Window(512), projector=projector)
    assert re.search(said, engine_text(report))
    assert "images: this build reads them; no model" in engine_text(
        engine_report(None, Window(512))
    )
    shown = " ".join(run("models", "show", model).stdout.split())
    assert ("images read with mmproj.gguf" in shown) is beside


def test_a_projector_comes_along_with_its_model(tiny: str, tmp_path: Path) -> None:
    folder = tmp_path / "seeing"
    folder.mkdir()
    model, projector = write_seeing(folder, "mlp")
    found = data("models", "add", model, "--name", "seeing")
    assert found["projector"] == "mmproj.gguf"
    kept = Path(found["path"]).with_name("mmproj.gguf")
    assert kept.read_bytes() == projector.read_bytes()
    with LocalGenerator(model="seeing", context_size=256, threads=1) as generator:
        assert generator.capabilities.images
    other = projector.rename(folder / "eye.gguf")
    named = data("models", "add", model, "--name", "named", "--projector", other)
    assert Path(named["path"]).with_name("mmproj-eye.gguf").is_file()
    assert data("models", "add", model, "--name", "blind")["projector"] == ""
    shown = run("models", "add", model, "--name", "told", "--projector", other).stdout
    assert "with mmproj-eye.gguf, which reads images for it" in shown
    wrong = data("models", "add", model, "--name", "odd", "--projector", model, code=1)
    assert "no vision projector" in wrong["error"]
    assert "no model is named 'odd'" in data("models", "show", "odd", code=1)["error"]
    kept.unlink()
    again = data("models", "add", model, "--name", "seeing", "--projector", other)
    assert Path(again["path"]).with_name("mmproj-eye.gguf").is_file(), "what was cut off goes on"
    data("models", "rm", "seeing")
    assert not kept.exists()
    del tiny


def test_another_format_keeps_its_projector(tiny: str, tmp_path: Path) -> None:
    folder = tmp_path / "seeing"
    folder.mkdir()
    model, _ = write_seeing(folder, "mlp")
    data("models", "add", model, "--name", "seeing")
    made = data("models", "quantize", "seeing", "--to", "Q8_0", "--no-measure")
    assert Path(made["path"]).with_name("mmproj.gguf").is_file()
    # As the Hugging Face cache has them: names that point to files called by their hash.
    for file in folder.iterdir():
        file.rename(tmp_path / f"blob-{file.stem}")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "seeing.gguf").symlink_to(tmp_path / "blob-seeing")
    (snapshot / "mmproj-f16.gguf").symlink_to(tmp_path / "blob-mmproj")
    linked = snapshot / "seeing.gguf"
    made = data("models", "quantize", linked, "--to", "Q4_0", "--name", "l", "--no-measure")
    assert Path(made["path"]).with_name("mmproj-f16.gguf").is_file()
    del tiny


@pytest.mark.parametrize("use", ["local", "isolated"])
def test_check_describes_the_engine(
    use: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kb"
    folder.mkdir()
    config = f'[embed]\nuse = "hashing"\n[generate]\nuse = "{use}"\nmodel = "tiny"\n'
    (folder / "ragstack.toml").write_text(config, "utf-8")
    found = data("check", "--base", folder)
    assert found["faults"] == {}
    assert found["build"]["layers"] == 3
    assert "llama-cpp-python" in found["engine"]
    assert "draft" not in found["generator"]
    (folder / "ragstack.toml").write_text(f'{config}draft = "tiny"\n', "utf-8")
    drafted = data("check", "--base", folder)
    # The other process has loaded it by then, and measured: what, depends on the machine.
    said = "measured at the first use" if use == "local" else ""
    assert f"; draft model {said}" in drafted["generator"]

    def missing(*_: object) -> object:
        raise checking.RagstackError("llama.cpp cannot be started")

    monkeypatch.setattr(checking, "engine_report", missing)
    assert "cannot be started" in data("check", "--base", folder, code=1)["faults"]["engine"]
