"""The peers bench: its arithmetic, its environments, and two of its systems played for real."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ragstack.embedding import onnx
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import InputError
from ragstack_evals.datasets import Collection, JudgedDocument
from ragstack_evals.environment import configured
from ragstack_evals.rivals import environments, player, run
from ragstack_evals.rivals.environments import PeerUnavailable, interpreter
from ragstack_evals.rivals.outcome import COLUMNS, Outcome, against, entry, judged, row
from ragstack_evals.rivals.plan import OURS, SYSTEMS, Rival, chosen

QRELS = {"q1": {"a": 1}, "q2": {"b": 1}, "q3": {"c": 1}}


def outcome(system: str, scores: Sequence[float], **changes: Any) -> Outcome:
    given: dict[str, Any] = {
        "system": system,
        "documents": 100,
        "scores": {f"q{n}": score for n, score in enumerate(scores)},
        "ingest_s": 10.0,
        "embed_s": 8.0,
        "milliseconds": tuple(float(n) for n in range(1, 102)),
        "bytes_before": 100_000_000,
        "bytes_peak": 300_000_000,
        **changes,
    }
    return Outcome(**given)


def test_a_row_of_the_table() -> None:
    cells = dict(zip(COLUMNS, row(outcome(OURS, [1.0, 0.0]), seed=0), strict=True))
    assert cells["nDCG@10"] == "0.500"
    assert cells["in, docs/s"] == "10.0"
    assert cells["less embedding"] == "50"  # 100 documents in the 2 s that were not embedding
    assert (cells["p50 ms"], cells["p95 ms"]) == ("51.0", "96.0")
    assert cells["peak MB"] == "300"


def test_an_entry_of_the_file_is_json() -> None:
    found = entry(outcome(OURS, [1.0, 0.0]), seed=0)
    assert json.loads(json.dumps(found))["ingest"]["embedding_seconds"] == 8.0
    assert found["measure"]["nDCG@10"]["n"] == 2


def test_ragstack_is_compared_query_by_query() -> None:
    found = against([outcome(OURS, [1.0, 0.5]), outcome("txtai", [0.5, 0.5])], seed=0)
    assert set(found) == {"txtai"}
    assert found["txtai"].difference.mean == pytest.approx(0.25)
    assert (found["txtai"].wins, found["txtai"].losses) == (1, 0)
    assert against([outcome("txtai", [1.0])], seed=0) == {}


def test_what_was_found_is_judged() -> None:
    found = {
        "rankings": {"q1": ["a", "b"], "q2": ["a", "b"], "q3": []},
        "ingest_s": 1.0,
        "embed_s": 0.5,
        "milliseconds": [1.0],
        "bytes_before": 1,
        "bytes_peak": 2,
    }
    scores = judged(OURS, found, QRELS, documents=3).scores
    assert scores["q1"] == pytest.approx(1.0)
    assert scores["q2"] == pytest.approx(0.6309, abs=1e-4)
    assert scores["q3"] == 0.0


def test_who_takes_part() -> None:
    assert chosen(None) == [name for name in SYSTEMS if "torch" not in name]
    assert chosen(["langchain torch"]) == [OURS, "langchain torch"]
    assert chosen(["txtai"]) == [OURS, "txtai"]
    with pytest.raises(InputError, match="known: ragstack"):
        chosen(["pinecone"])


def test_every_system_has_its_module() -> None:
    for rival in SYSTEMS.values():
        assert Path(run.__file__).with_name(f"{rival.module}.py").is_file()
        assert all("==" in package for package in rival.packages)


def test_the_extra_names_what_is_installed() -> None:
    file = Path(__file__).resolve().parents[3] / "pyproject.toml"
    extras = tomllib.loads(file.read_text("utf-8"))["project"]["optional-dependencies"]
    named = [package for rival in SYSTEMS.values() for package in rival.packages]
    assert extras["rivals"] == list(dict.fromkeys(named))


def test_those_of_torch_share_an_environment() -> None:
    rooms = {rival.environment(name): rival.packages for name, rival in SYSTEMS.items()}
    for name, rival in SYSTEMS.items():
        assert rooms[rival.environment(name)] == rival.packages


class _Shell:
    def __init__(self, fails_at: str = "nothing") -> None:
        self.commands: list[str] = []
        self._fails_at = fails_at

    def __call__(self, command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        line = " ".join(command)
        self.commands.append(line)
        if "-m venv" in line:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            Path(command[-1], "lib", version, "site-packages").mkdir(parents=True)
        failed = self._fails_at in line
        return subprocess.CompletedProcess(command, int(failed), "", "ERROR: no such release\nbye")


def test_an_environment_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path))
    shell = _Shell()
    monkeypatch.setattr(environments.subprocess, "run", shell)
    said: list[str] = []
    rival = Rival("play_x", ("x==1",), bare=True)
    python = interpreter("some peer", rival, said.append)
    assert python.is_relative_to(tmp_path)
    assert any("--no-deps x==1" in line for line in shell.commands)
    assert "addsitedir" in next(tmp_path.rglob("zz_behind.pth")).read_text("utf-8")
    shell.commands.clear()
    assert interpreter("some peer", rival, said.append) == python
    assert shell.commands == []
    interpreter("some peer", Rival("play_x", ("x==2",)), said.append)
    assert len(shell.commands) == 2 and "--no-deps" not in shell.commands[1]


def test_a_peer_that_cannot_be_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path))
    monkeypatch.setattr(environments.subprocess, "run", _Shell("pip install"))
    with pytest.raises(PeerUnavailable, match="x could not be installed: ERROR: no such release"):
        interpreter("x", Rival("play_x", ("x==1",)), lambda _: None)
    assert interpreter("ours", Rival("play_x"), lambda _: None) == Path(sys.executable)


@pytest.fixture
def tiny() -> Collection:
    texts = {"a": "bees make honey", "b": "bread is baked of flour", "c": "snow falls in winter"}
    documents = tuple(JudgedDocument(key, "", text) for key, text in texts.items())
    queries = {"q1": "who makes honey", "q2": "baking with flour", "q3": "winter and snow"}
    return Collection("tiny", documents, {**queries, "q4": "not judged"}, QRELS)


class _Shared(HashingEmbedder):
    seconds = 0.0

    def close(self) -> None:
        """It holds nothing."""


@pytest.mark.parametrize("name", [OURS, "by hand"])
def test_a_system_plays_its_job(
    name: str, tiny: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "OnnxEmbedder", onnx.OnnxEmbedder)  # put back afterwards
    monkeypatch.setattr(player, "SharedEmbedder", _Shared)
    job = run.job_of(tiny)
    assert set(job["queries"]) == {"q1", "q2", "q3"}
    with configured({"embed.use": "hashing"}):
        found = player.play(name, job)
    assert {key: ranking[0] for key, ranking in found["rankings"].items()} == {
        "q1": "a",
        "q2": "b",
        "q3": "c",
    }
    assert found["bytes_peak"] >= found["bytes_before"] > 10_000_000
    assert len(found["milliseconds"]) == 3


def test_one_that_fails_is_told_and_the_others_go_on(
    tiny: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = {"ingest_s": 1.0, "embed_s": 0.5, "milliseconds": [1.0], "bytes_before": 1}
    played |= {"bytes_peak": 2, "rankings": {"q1": ["a"], "q2": ["b"], "q3": ["a"]}}

    def stands_in(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        if "by hand" in command:
            return subprocess.CompletedProcess(command, 1)
        Path(command[-1]).write_text(json.dumps(played), "utf-8")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(run.subprocess, "run", stands_in)
    console = Console(record=True, width=120)
    found = run._compared(tiny, [OURS, "by hand"], tmp_path, console, 0)
    assert set(found["systems"]) == {OURS}
    assert "by hand ended with 1" in found["missing"]["by hand"]
    assert "not here: by hand" in console.export_text()


def test_a_quick_run_keeps_what_answers(tiny: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_QUICK_DOCUMENTS", 2)
    monkeypatch.setattr(run, "_QUICK_QUERIES", 1)
    small = run._part(tiny, 0)
    assert len(small.documents) == 2
    assert len(small.queries) == 1
    there = {document.id for document in small.documents}
    assert all(set(judgements) <= there for judgements in small.qrels.values())
