from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragstack_evals.command import app
from ragstack_evals.document_scores import f1, likeness, tables_of

TABLE = "| a | b |\n| - | - |\n| c \\| d | e |\n"


def test_f1_of_bags() -> None:
    assert f1([], []) == 1.0
    assert f1(["a"], []) == 0.0
    # Two of three found, of four wanted.
    assert f1(["a", "b", "x"], ["a", "b", "b", "c"]) == pytest.approx(4 / 7)


def test_markup_makes_no_difference_and_order_does() -> None:
    same = likeness("# One *two*\n\nThree", "one\n## two <!-- image -->three")
    assert (same.tokens, same.pairs) == (1.0, 1.0)
    turned = likeness("three one two", "one two three")
    assert turned.tokens == 1.0
    assert turned.pairs == 0.5


def test_tables_are_found_in_text() -> None:
    assert tables_of(f"x\n\n{TABLE}\n{TABLE}") == [[("a", "b"), ("c d", "e")]] * 2
    assert likeness("a b c d e", TABLE).tables == (0, 1)
    assert likeness("a b c d e", TABLE).cells == 0.0
    assert likeness(TABLE, "text").cells is None


def test_a_folder_is_read_and_what_fails_is_named(tmp_path: Path) -> None:
    sources, truth = tmp_path / "set" / "md" / "sources", tmp_path / "set" / "md" / "groundtruth"
    sources.mkdir(parents=True)
    truth.mkdir()
    (sources / "a.md.gz").write_bytes(gzip.compress(b"# Bees\n\n" + TABLE.encode()))
    (truth / "a.md.md.gz").write_bytes(gzip.compress(b"# Bees\n\n" + TABLE.encode()))
    (sources / "b.docx").write_bytes(b"PK\x03\x04 broken")
    out = tmp_path / "out.json"
    done = CliRunner().invoke(
        app, ["documents", "--data", str(tmp_path / "set"), "--json", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "md/sources/b.docx: BrokenDocument" in done.output
    files = {file["name"]: file for file in json.loads(out.read_text())["files"]}
    assert files["md/sources/a.md"]["like"] == {
        "tokens": 1.0, "pairs": 1.0, "tables": [1, 1], "cells": 1.0
    }  # fmt: skip
    assert files["md/sources/b.docx"]["failure"]
