"""``ragstack models`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragstack.cli.models import app

_RUN = CliRunner()
_DATA = b"GGUF" + bytes(500)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.gguf"
    file.write_bytes(_DATA)
    return file


def test_list_shows_the_table_and_what_is_here(own_cache: Path) -> None:
    assert _RUN.invoke(app, ["add", str(own_cache)]).exit_code == 0
    shown = _RUN.invoke(app, ["list"])
    assert shown.exit_code == 0
    assert "qwen2.5-coder-1.5b-instruct" in shown.stdout
    entries = json.loads(_RUN.invoke(app, ["list", "--json"]).stdout)
    by_name = {entry["name"]: entry for entry in entries}
    assert by_name["qwen2.5-coder-1.5b-instruct"]["bytes"] == 1_117_320_768
    assert by_name["qwen2.5-coder-1.5b-instruct"]["path"] is None
    assert by_name["mine"]["own"]
    assert Path(by_name["mine"]["path"]).read_bytes() == _DATA


def test_add_path_and_rm(own_cache: Path) -> None:
    added = _RUN.invoke(app, ["add", str(own_cache), "--name", "own", "--json"])
    assert json.loads(added.stdout)["name"] == "own"
    path = _RUN.invoke(app, ["path", "own"])
    assert Path(path.stdout.strip()).read_bytes() == _DATA
    assert json.loads(_RUN.invoke(app, ["pull", "own", "--json"]).stdout)["name"] == "own"
    assert "removed" in _RUN.invoke(app, ["rm", "own"]).stdout
    assert _RUN.invoke(app, ["path", "own"]).exit_code == 1


def test_errors_have_a_code_and_a_hint(own_cache: Path) -> None:
    missing = _RUN.invoke(app, ["path", "smollm2-135m-instruct", "--json"])
    assert missing.exit_code == 1
    assert "ragstack models pull" in json.loads(missing.stdout)["hint"]
    unknown = _RUN.invoke(app, ["pull", "smollm"])
    assert unknown.exit_code == 1
    assert "did you mean" in unknown.output
    assert _RUN.invoke(app, ["pull"]).exit_code == 2
