"""What the tests need beside Python: the table, what is missing, and who may install it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]
TABLE = "# a comment\njava | default-jdk-headless | Neo4j # why\npython:venv | {python}-venv | x\n"


@pytest.fixture
def packages(script: Script) -> ModuleType:
    return script("system_packages")


def test_the_table_is_read(packages: ModuleType) -> None:
    needs = packages.read(TABLE, python="python3.12")
    assert [(need.command, need.package) for need in needs] == [
        ("java", "default-jdk-headless"),
        ("python:venv", "python3.12-venv"),
    ]


def test_the_real_table_is_well_formed(packages: ModuleType) -> None:
    text = packages.TABLE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(packages.read(text, python="python3.11")) == len(rows) > 0


def test_programs_and_modules_are_looked_for(packages: ModuleType) -> None:
    assert packages.is_here("sh")
    assert packages.is_here("python:ensurepip")
    assert not packages.is_here("no-such-program-here")
    assert not packages.is_here("python:no_such_module_here")


@pytest.mark.parametrize(
    ("tools", "root", "status", "expected"),
    [
        ({"apt-get"}, True, 1, []),
        ({"apt-get", "sudo"}, False, 0, ["sudo", "-n"]),
        ({"apt-get", "sudo"}, False, 1, None),
        ({"apt-get"}, False, 0, None),
        (set(), True, 0, None),
    ],
    ids=["root", "sudo", "sudo wants a password", "nobody", "no apt-get"],
)
def test_apt_is_used_only_where_it_may_be(
    packages: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tools: set[str],
    root: bool,
    status: int,
    expected: list[str] | None,
) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda tool: tool if tool in tools else None)
    assert packages.prefix(root=root, run=lambda command: status) == expected


def test_the_line_to_run_is_named_where_apt_may_not_be_used(
    packages: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    table = tmp_path / "table.txt"
    table.write_text("no-such-program | its-package | a test\n", encoding="utf-8")
    monkeypatch.setattr(packages, "TABLE", table)
    monkeypatch.setattr(packages, "prefix", lambda **given: None)
    assert packages.main() == 0
    said = capsys.readouterr().err
    assert "missing: no-such-program (a test)" in said
    assert "run: sudo apt-get install -y its-package" in said


def test_what_is_missing_is_installed_where_it_may_be(
    packages: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = tmp_path / "table.txt"
    table.write_text("no-such-program | its-package | a test\nsh | dash | here\n", encoding="utf-8")
    ran: list[list[str]] = []
    monkeypatch.setattr(packages, "TABLE", table)
    monkeypatch.setattr(packages, "prefix", lambda **given: [])
    monkeypatch.setattr(packages, "loud", lambda command: ran.append(list(command)) or 0)
    assert packages.main() == 0
    assert ran[0][:2] == ["apt-get", "update"]
    assert ran[1][-1] == "its-package"
    assert "dash" not in ran[1]


def test_commands_report_their_status(packages: ModuleType) -> None:
    assert packages.quiet([sys.executable, "-c", "raise SystemExit(4)"]) == 4
    assert packages.loud([sys.executable, "-c", "raise SystemExit(5)"]) == 5
