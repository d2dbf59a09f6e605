"""Any encoder of the hub, through huggingface_hub, against a server that speaks its protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import ModelUnavailable
from ragstack.models import hub as hub_source
from ragstack.models.repository import encoder_folder

_FILES = {
    "config.json": b"{}",
    "tokenizer.json": b'{"a": 1}',
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "onnx/model.onnx": b"graph",
    "onnx/model.onnx_data": b"weights",
    "onnx/model_fp16.onnx": b"other",
    "model.safetensors": b"not wanted",
    "README.md": b"not wanted",
}


def _first(there: list[str]) -> str:
    return there[0]


@pytest.fixture
def repository(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    hub.files = dict(_FILES)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "cache"))
    return hub


def _folder(**options: Any) -> Path:
    asked = {"revision": "main", "pull": True, "choose": _first, **options}
    return encoder_folder("some/encoder", **asked)


def test_what_an_encoder_needs_is_fetched_once(repository: Any) -> None:
    folder = _folder()
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    wanted = {name for name in _FILES if "not wanted" not in _FILES[name].decode()}
    assert {name for name in there if not name.startswith(".")} == (
        wanted - {"onnx/model_fp16.onnx"} | {"fetched.json"}
    )
    assert (folder / "onnx" / "model.onnx_data").read_bytes() == b"weights"
    mark = json.loads((folder / "fetched.json").read_text())
    assert mark["commit"] == "0123456789abcdef0123456789abcdef01234567"
    repository.requests.clear()
    assert _folder(pull=False) == folder
    assert repository.requests == []


def test_another_graph_of_it_is_fetched_when_it_is_named(repository: Any) -> None:
    _folder()
    other = _folder(choose=lambda _: "onnx/model_fp16.onnx")
    assert (other / "onnx" / "model_fp16.onnx").read_bytes() == b"other"


def test_without_leave_nothing_is_fetched(repository: Any) -> None:
    with pytest.raises(ModelUnavailable, match="not on this machine"):
        _folder(pull=False)
    assert repository.requests == []


def test_a_repository_that_is_not_there(repository: Any) -> None:
    repository.status = 404
    with pytest.raises(ModelUnavailable, match="some/encoder"):
        _folder()


def test_no_hub(repository: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_source.answers()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        _folder()
    assert not hub_source.answers()
