"""What a person reads: each part of a report, marks as they are, paths the shorter way."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from ragstack import registry
from ragstack.cli import upkeep
from ragstack.cli.commands import CommandGroup
from ragstack.cli.documents import Bar, progress_bar
from ragstack.cli.output import place_of, print_json, print_report, shortened
from ragstack.errors import MissingExtra
from ragstack.pipeline.ingest import Step
from ragstack.pipeline.verify import IndexCheck, VerifyReport
from ragstack.types import Failure, IngestReport, Mark, NearDuplicate


def test_json_that_the_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, value in (("ascii", "é"), ("utf-8", "\ud800"), ("no-such-encoding", "x")):
        shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", _Named(shown, encoding))
        print_json({"text": value})
        shown.flush()
        raw = shown.buffer.getvalue()  # type: ignore[attr-defined]
        assert json.loads(raw) == {"text": value}


class _Named:
    """A stream that says it has an encoding of one's own choice."""

    def __init__(self, stream: io.TextIOWrapper, encoding: str) -> None:
        self._stream = stream
        self.encoding = encoding

    def write(self, text: str) -> int:
        return self._stream.write(text)


def test_a_report_tells_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(
        IngestReport(
            added=("a",),
            failed=(Failure("[b].pdf", "it is encrypted"),),
            incomplete=(Failure("c.pdf", "page 3 is a picture"),),
            skipped=("d",),
            near_duplicates=(NearDuplicate("d", "a", 0.91), NearDuplicate("e", "a", 0.8)),
            notes=("12 lines of context were written",),
            chunks=4,
            seconds=1.5,
        )
    )
    shown = capsys.readouterr()
    assert "failed [b].pdf: it is encrypted" in shown.err
    assert "incomplete c.pdf: page 3 is a picture" in shown.err
    assert "skipped d is 91% of a" in shown.out
    assert "near duplicate e is 80% of a" in shown.out
    assert "1 added, 0 updated, 0 unchanged, 0 removed, 1 failed; 4 chunks in 1.5 s" in shown.out
    assert "12 lines of context were written" in shown.out


def test_where_a_quote_stands() -> None:
    assert place_of(None) == ""
    assert place_of(Mark(0, 5, "page", page=3)) == ", page 3"
    assert place_of(Mark(0, 5, "heading", label="Kind \n Size", page=3)) == ", page 3, «Kind Size»"


def test_a_path_is_shown_the_shorter_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shortened(str(tmp_path / "a.md")) == "a.md"
    assert shortened("upload:a.md") == "upload:a.md"
    assert shortened("/x") == "/x"


def test_an_ingest_s_bar_counts_what_happened() -> None:
    with progress_bar() as progress:
        bar = Bar(progress)
        bar(Step("added", "a.md", chunks=3))
        bar(Step("added", "[b].md", chunks=1))
        bar(Step("indexed", "lexical", chunks=4))
        assert dict(bar.counts) == {"added": 2, "lexical index": 4}
        assert "2 added" in progress.tasks[0].description


def test_a_verification_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    checks = (
        IndexCheck("default", "lexical", "bm25", chunks=9, looked_at=9),
        IndexCheck("default", "vector", "faiss", chunks=9, missing=2, examples=("c1",)),
        IndexCheck("other", "vector", "faiss", fault="it cannot be read", repaired=True),
        IndexCheck("other", "lexical", "bm25", chunks=1, surplus=1, damaged=1, fault="odd"),
    )
    upkeep._print_checks(VerifyReport(("a chunk without a document",), checks))
    shown = capsys.readouterr().out
    assert "wrong catalog: a chunk without a document" in shown
    assert "ok default/lexical (bm25): 9 chunks, 9 compared" in " ".join(shown.split())
    assert "2 missing" in shown and "c1" in shown
    assert "repaired other/vector (faiss): it cannot be read" in shown
    assert "1 that are gone, 1 damaged, odd" in shown
    upkeep._print_checks(VerifyReport())
    assert "holds no documents" in capsys.readouterr().out


def test_commands_are_those_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    group = CommandGroup(name="ragstack")
    commands = group.commands
    names = list(commands)
    assert len(commands) == len(names) and "search" in commands and "nobody" not in commands
    with pytest.raises(KeyError):
        commands["nobody"]
    commands["mine"] = commands["search"]
    assert list(commands) == [*names, "mine"]
    del commands["mine"]
    assert list(commands) == names


def test_a_command_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_kind: str, _name: str) -> object:
        raise MissingExtra("streamlit", extra="ui")

    monkeypatch.setattr(registry, "load", missing)
    command = CommandGroup(name="ragstack").commands["chat"]
    assert 'pip install "ragstack[ui]"' in (command.help or "")
    with pytest.raises(MissingExtra, match="streamlit"):
        command.main(["--anything", "at all"], standalone_mode=False)
