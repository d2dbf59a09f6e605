from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragstack.catalog.lock import WriteLock
from ragstack.cli import base as base_commands
from ragstack.cli.app import app

Run = Callable[..., Result]

CONFIG = """
[embed]
use = "hashing"
[generate]
use = "scripted"
replies = ["Agnes Murray", "Agnes Murray"]
scores = { yes = -0.1, Yes = -0.1, no = -3.0, No = -3.0, "not in the passages" = -5.0 }
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "ragstack.toml").write_text(CONFIG, "utf-8")
    return folder


@pytest.fixture
def run(base: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(base.parent)

    def call(*arguments: object, code: int = 0, at: Path | None = base) -> Result:
        words = [str(argument) for argument in arguments]
        if at is not None:
            words += ["--base", str(at)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


def data(result: Result) -> Any:
    return json.loads(result.stdout)


def test_ingest_reports_each_source(run: Run, corpus_folder: Path) -> None:
    (corpus_folder / "empty.txt").write_bytes(b"")
    report = data(run("ingest", corpus_folder, "--json"))
    assert len(report["added"]) == len(list(corpus_folder.iterdir())) - 1
    (failure,) = report["failed"]
    assert failure["source"].endswith("empty.txt")
    assert failure["reason"]
    again = data(run("ingest", corpus_folder, "--json"))
    assert len(again["unchanged"]) == len(report["added"])
    shown = run("ingest", corpus_folder)
    assert "0 added" in shown.stdout
    assert "empty.txt" in shown.stderr


def test_search_has_the_promised_fields(run: Run, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    found = data(run("search", "Who built the lighthouse?", "-k", 2, "--json"))
    assert len(found) == 2
    first = found[0]
    assert {"document_id", "source", "chunk_id", "start", "end", "text", "score", "trail"} <= set(
        first
    )
    text = Path(first["source"]).read_text("utf-8")
    assert text[first["start"] : first["end"]] == first["text"]
    shown = run("search", "lighthouse", "-k", 1).stdout
    assert "lighthouse.md" in shown
    assert "lexical" in shown


def test_the_trace_of_transforms(run: Run, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    question = "Who built the lighthouse and when does the ferry leave?"
    found = data(run("search", question, "-t", "decompose", "--trace", "--json"))
    assert [step["step"] for step in found["trace"]] == ["decompose", "search", "fuse"]
    assert found["trace"][0]["produced"][0] == "decompose.1: Who built the lighthouse"
    shown = run("search", question, "--transform", "decompose", "--trace").stdout
    assert "decompose.2: when does the ferry leave?" in shown
    assert isinstance(data(run("search", question, "-t", "none", "--json")), list)
    asked = ("ask", "Who built the lighthouse?", "--style", "brief", "--trace")
    answer = data(run(*asked, "--json"))
    assert [step["step"] for step in answer["trace"]] == ["search", "answer"]
    assert "citations" in run(*asked).stdout
    assert "Ask me a question" in run("search", "Thank you!", "-t", "route").stdout
    run("search", question, "-t", "nonsense", code=1)


def test_ask_has_the_promised_fields(run: Run, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    answer = data(run("ask", "Who built the lighthouse?", "--style", "brief", "--json"))
    assert answer["answer"] == "Agnes Murray"
    assert not answer["abstained"]
    assert answer["grounded"]
    assert answer["sentences"] == [{"start": 0, "end": 12, "verdict": "verbatim"}]
    (citation,) = answer["citations"]
    assert {"document_id", "source", "start", "end", "quote", "verdict"} <= set(citation)
    text = Path(citation["source"]).read_text("utf-8")
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert answer["passages"]
    assert answer["usage"]["prompt_tokens"] > 0
    shown = run("ask", "Who built the lighthouse?", "--style", "brief").stdout
    assert "Agnes Murray" in shown
    assert "lighthouse.md" in shown


def test_a_refusal_shows_where_to_look(run: Run, base: Path, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    (base / "ragstack.toml").write_text(CONFIG + "\n[answer]\ndoubt = 99.0\n", "utf-8")
    shown = run("ask", "Who built the lighthouse?").stdout
    nearest = shown.partition("nearest passages")[2]
    assert "lighthouse.md" in nearest and "Agnes Murray" in nearest


def test_ask_tells_what_made_the_answer_likely(run: Run, base: Path, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    config = CONFIG.replace("yes =", '"Agnes Murray" = -2.0, yes =')
    (base / "ragstack.toml").write_text(config, "utf-8")
    words = ("ask", "Who built the lighthouse?", "--style", "brief", "--attribution")
    found = data(run(*words, "--json"))["attribution"]
    assert found["exact"]
    assert found["logprob"] == -2.0
    assert {"source", "start", "end", "score", "share", "chunk_ids"} <= set(found["parts"][0])
    assert "attribution" not in data(run(*words[:-1], "--json"))
    shown = run(*words, "--exact").stdout
    assert "what made this answer likely" in shown
    assert "lighthouse.md" in shown.partition("what made this answer likely")[2]
    config = config.replace("yes = -0.1, Yes = -0.1", "yes = -9.0, Yes = -9.0")
    (base / "ragstack.toml").write_text(config, "utf-8")
    assert "no passage made this answer" in run(*words).stdout


def test_ask_goes_on_with_a_conversation(run: Run, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    run("ask", "Who built the lighthouse?", "--chat", "a", "--json")
    follow_up = "Who built the lighthouse?"
    run("ask", follow_up, "--chat", "a", "--style", "brief", "--json")


def test_delete_and_stats(run: Run, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    before = data(run("stats", "--json"))
    assert before["documents"] == len(list(corpus_folder.iterdir()))
    assert before["chunks"] >= before["documents"]
    assert data(run("delete", corpus_folder / "bees.txt", "--json")) == {"removed": 1}
    after = data(run("stats", "--documents", "--json"))
    assert after["documents"] == before["documents"] - 1
    assert len(after["list"]) == after["documents"]
    assert "documents" in run("stats").stdout


def test_conditions(run: Run, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    found = data(run("search", "moulin lighthouse", "-k", 20, "-w", "type!=markdown", "--json"))
    assert {Path(row["source"]).suffix for row in found} == {".txt"}
    assert data(run("search", "x", "-w", "date>=2999", "--json")) == []
    assert "field=value" in run("search", "x", "-w", "nonsense", code=2).stderr


def test_tokens_of_generator_and_embedder(run: Run) -> None:
    counted = data(run("tokens", "one two three", "--json"))
    assert counted["count"] == 3
    assert "".join(counted["tokens"]) == "one two three"
    assert data(run("tokens", "one two three", "--embedder", "--json"))["count"] == 3


def test_check_names_what_is_used(run: Run) -> None:
    found = data(run("check", "--json"))
    assert found["faults"] == {}
    assert "bm25" in found["indexes"]
    assert "scripted" in run("check").stdout


def test_check_fails_on_a_fault(run: Run, base: Path) -> None:
    (base / "ragstack.toml").write_text(CONFIG + '[chunk]\nuse = "markdwon"\n', "utf-8")
    found = data(run("check", "--json", code=1))
    assert "did you mean 'markdown'" in found["faults"]["chunker"]


def test_init_makes_a_base_and_keeps_what_is_there(run: Run, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    assert data(run("init", "--json", at=fresh))["made"]
    file = fresh / "ragstack.toml"
    file.write_text("# mine\n", "utf-8")
    assert not data(run("init", "--json", at=fresh))["made"]
    assert file.read_text("utf-8") == "# mine\n"


def test_init_writes_the_embedder_that_was_named(run: Run, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    assert data(run("init", "--json", "--embedder", "bge-small-en-v1.5", at=fresh))["made"]
    written = tomllib.loads((fresh / "ragstack.toml").read_text("utf-8"))
    assert written["embed"] == {"use": "onnx", "model": "bge-small-en-v1.5"}
    again = run("init", "--embedder", "all-minilm-l6-v2", at=fresh, code=2)
    assert "stays as it is" in again.output
    assert tomllib.loads((fresh / "ragstack.toml").read_text("utf-8")) == written


def test_init_with_an_unknown_embedder_makes_nothing(run: Run, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    assert "multilingual-e5-small" in run("init", "--embedder", "bert", at=fresh, code=1).output
    assert not fresh.exists()


@pytest.mark.parametrize(("yes", "model"), [(True, "bge-small-en-v1.5"), (False, None)])
def test_a_person_is_asked_where_a_hub_answers(
    yes: bool, model: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_commands.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(base_commands, "console", SimpleNamespace(is_terminal=True))
    monkeypatch.setattr(base_commands.models, "hub_answers", lambda: True)
    monkeypatch.setattr(base_commands.typer, "confirm", lambda *_, **__: yes)
    assert (base_commands._offered() or None) == model
    monkeypatch.setattr(base_commands.models, "hub_answers", lambda: False)
    assert base_commands._offered() == ""


@pytest.mark.parametrize(
    ("language", "here", "found"),
    [("fr_FR.UTF-8", True, ""), ("en_GB.UTF-8", True, "bge-small-en-v1.5"), ("en_GB", False, "")],
)
def test_nobody_is_asked_what_can_be_found_out(
    language: str, here: bool, found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def asked(*_: object, **__: object) -> bool:
        raise AssertionError("a person was asked")

    better = next(each for each in base_commands.models.listing() if "bge" in each.model.name)
    listed = dataclasses.replace(better, path=tmp_path if here else None)
    monkeypatch.setattr(base_commands.models, "listing", lambda: [listed])
    monkeypatch.setattr(base_commands.models, "hub_answers", lambda: False)
    monkeypatch.setattr(base_commands.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(base_commands, "console", SimpleNamespace(is_terminal=True))
    monkeypatch.setattr(base_commands.typer, "confirm", asked)
    monkeypatch.setenv("LC_ALL", language)
    assert base_commands._offered() == found


@pytest.mark.parametrize(
    ("free", "model"),
    [
        (8_000_000_000, "qwen2.5-coder-1.5b-instruct"),
        (1_500_000_000, "qwen2.5-coder-0.5b-instruct"),
        (100_000_000, "smollm2-135m-instruct"),
        (None, "qwen2.5-coder-1.5b-instruct"),
    ],
)
def test_init_takes_a_model_that_fits(
    free: int | None, model: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_commands, "available", lambda: free)
    run("init", "--json", at=tmp_path / "fresh")
    text = (tmp_path / "fresh" / "ragstack.toml").read_text("utf-8")
    assert tomllib.loads(text)["generate"]["model"] == model
    assert ("were free" in text) == (model != "qwen2.5-coder-1.5b-instruct")


def test_backup_and_restore(run: Run, corpus_folder: Path, tmp_path: Path) -> None:
    run("ingest", corpus_folder)
    archive = tmp_path / "kb.zip"
    assert data(run("backup", archive, "--json"))["members"]["catalog.sqlite"] > 0
    run("restore", archive, "--json", at=tmp_path / "again")
    expected = data(run("search", "lighthouse", "--json"))
    assert data(run("search", "lighthouse", "--json", at=tmp_path / "again")) == expected
    run("backup", archive, code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("ingest", "missing.txt"), 1, "missing.txt"),
        (("search", "  "), 2, "blank"),
        (("search", "x", "-k", "0"), 2, "greater"),
        (("delete", "nothing"), 1, "no document"),
        (("ask", "x", "--style", "long"), 2, "brief, normal, detailed"),
        (("frobnicate",), 2, "No such command"),
        (("search",), 2, "Missing argument"),
    ],
)
def test_mistakes_have_their_exit_code(
    run: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in run(*arguments, code=code).stderr


def test_a_base_that_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run("search", "x", code=1, at=tmp_path / "none")
    assert "there is no base" in result.stderr
    assert "hint:" in result.stderr
    assert not (tmp_path / "none").exists()


def test_a_folder_of_files_is_no_base_and_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("Bees hum.")
    for words in (("search", "x"), ("ask", "x"), ("stats",)):
        result = run(*words, code=1, at=notes)
        assert "holds files and no base" in result.stderr
        assert f"ragstack ingest {notes} --base BASE" in " ".join(result.stderr.split())
        assert [path.name for path in notes.iterdir()] == ["a.txt"]


def test_errors_are_json_where_json_is_asked_for(run: Run, tmp_path: Path) -> None:
    found = data(run("search", "x", "--json", code=1, at=tmp_path / "none"))
    assert set(found) == {"error", "hint", "retryable"}


def test_a_base_that_another_process_writes(run: Run, base: Path, corpus_folder: Path) -> None:
    with WriteLock(base):
        assert "another" in run("ingest", corpus_folder, code=1).stderr


def test_an_unknown_model(run: Run, base: Path, corpus_folder: Path) -> None:
    run("ingest", corpus_folder)
    (base / "ragstack.toml").write_text(
        '[embed]\nuse = "hashing"\n[generate]\nmodel = "qwen-9000"\n', "utf-8"
    )
    assert "qwen-9000" in run("ask", "x", code=1).stderr
