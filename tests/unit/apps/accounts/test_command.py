from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ragstack import Stack
from ragstack.cli.app import app
from ragstack.errors import NotSignedIn
from ragstack_apps.accounts import command
from ragstack_apps.accounts.accounts import Accounts

Run = Callable[..., Result]
PASSWORD = "correct horse"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "kb"


@pytest.fixture
def run(base: Path) -> Run:
    def call(*words: str, code: int = 0, text: str = "") -> Result:
        result = CliRunner().invoke(app, [*words, "--base", str(base)], input=text)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


@pytest.fixture
def accounts(base: Path) -> Iterator[Callable[[], Accounts]]:
    """Return what opens the base's accounts anew, as another process would."""
    with ExitStack() as held:
        yield lambda: Accounts(held.enter_context(Stack.open(base)).parts.catalog)


def test_users(run: Run, accounts: Callable[[], Accounts]) -> None:
    stdin = "--password-stdin"
    run("users", "add", "Anna", "-g", "hr", "-r", "admin", stdin, text=f"{PASSWORD}\n")
    (shown,) = json.loads(run("users", "list", "--json").stdout)["users"]
    assert (shown["user"], shown["groups"], shown["rights"]) == ("anna", ["hr"], ["admin"])
    assert "anna" in run("users", "list").stdout
    accounts().login("anna", PASSWORD)
    run("users", "passwd", "anna", stdin, text="another horse\n")
    with pytest.raises(NotSignedIn):
        accounts().login("anna", PASSWORD)
    assert "at least" in run("users", "passwd", "anna", stdin, text="x\n", code=2).output
    run("users", "rm", "anna")
    assert "no user" in run("users", "rm", "anna", code=1).output


def test_a_password_is_typed_twice(run: Run, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--password-stdin" in run("users", "add", "bob", code=2).output

    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    typed = iter([PASSWORD, PASSWORD, PASSWORD, "something else"])
    monkeypatch.setattr(command.getpass, "getpass", lambda _prompt: next(typed))
    monkeypatch.setattr(command, "sys", type("Sys", (), {"stdin": Terminal}))
    run("users", "add", "bob")
    assert "not the same" in run("users", "passwd", "bob", code=2).output


def test_keys(run: Run, accounts: Callable[[], Accounts]) -> None:
    options = ("-r", "read", "-c", "hr", "--expires", "90d", "--json")
    made = json.loads(run("keys", "add", "ci", *options).stdout)
    caller = accounts().identify(made["key"])
    assert (caller.rights, caller.collections) == (frozenset({"read"}), ("hr",))
    listed = run("keys", "list", "--json").stdout
    assert made["key"] not in listed
    assert json.loads(listed)["keys"][0]["id"] == made["id"]
    assert made["id"] in run("keys", "list").stdout
    other = json.loads(run("keys", "add", "other", "--json").stdout)
    run("keys", "rm", made["id"])
    with pytest.raises(NotSignedIn):
        accounts().identify(made["key"])
    assert accounts().identify(other["key"])
    secret = run("keys", "add", "all").stdout.split()[0]
    assert accounts().identify(secret).rights == {"read", "ask"}
    run("keys", "add", "x", "--right", "fly", code=2)
    run("keys", "add", "x", "--user", "nobody", code=1)


def test_the_last_key_gone_leaves_the_base_closed(
    run: Run, accounts: Callable[[], Accounts]
) -> None:
    key = json.loads(run("keys", "add", "ci", "--json").stdout)
    assert "users or keys" in run("keys", "open", code=2).output
    assert "ragstack keys open" in " ".join(run("keys", "rm", key["id"]).stdout.split())
    assert accounts().locked
    run("keys", "open")
    assert accounts().open


def test_retain(run: Run) -> None:
    assert json.loads(run("retain", "--json").stdout)["removed"]["runs"] == 0
    assert "0 runs" in run("retain").stdout
