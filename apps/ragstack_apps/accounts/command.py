"""The commands ``ragstack users``, ``keys`` and ``retain``: what is open to whom, from a shell.

Whoever may write to the base's folder may run them; they ask for no right of their own.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ragstack import Stack
from ragstack.cli.options import BaseOption, JsonOption, opened, reported
from ragstack.cli.output import console, print_json
from ragstack.errors import InputError
from ragstack_apps.accounts.accounts import LOCKED, Accounts
from ragstack_apps.accounts.caller import RIGHTS, Caller
from ragstack_apps.accounts.keys import Wanted
from ragstack_apps.accounts.retention import sweep
from ragstack_apps.accounts.settings import serve_settings

__all__ = ["keys", "retain", "users"]

users = typer.Typer(help="Who may sign in.", no_args_is_help=True, pretty_exceptions_enable=False)
keys = typer.Typer(help="API keys.", no_args_is_help=True, pretty_exceptions_enable=False)

_SHELL = Caller(key_id="shell")

Rights = Annotated[
    list[str] | None,
    typer.Option("--right", "-r", help=f"{', '.join(RIGHTS)}; read and ask if none. Repeatable."),
]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@contextmanager
def _accounts(base: BaseOption) -> Iterator[tuple[Stack, Accounts]]:
    with opened(base) as stack:
        settings = serve_settings(stack.config.serve)
        accounts = Accounts(stack.parts.catalog, settings)
        try:
            yield stack, accounts
        finally:
            accounts.close()


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="Small ASCII letters, digits and . _ @ + -")],
    group: Annotated[
        list[str] | None, typer.Option("--group", "-g", help="A group they are in. Repeatable.")
    ] = None,
    right: Rights = None,
    password_stdin: FromInput = False,
    base: BaseOption = None,
) -> None:
    """Add a user who signs in with a password."""
    with reported(), _accounts(base) as (_, accounts):
        password = _password(password_stdin)
        user = accounts.add_user(
            _SHELL, name, password, groups=group or (), rights=right or ("read", "ask")
        )
        console.print(f"added {escape(user.name)}: {', '.join(user.rights)}")


@users.command("list")
def list_users(as_json: JsonOption = False, base: BaseOption = None) -> None:
    """Show who may sign in."""
    with reported(as_json=as_json), _accounts(base) as (_, accounts):
        found = [user.shown() for user in accounts.users.every()]
        if as_json:
            print_json({"users": found})
        else:
            _print(("user", "groups", "rights", "created", "issuer"), found)


@users.command("rm")
def remove_user(name: Annotated[str, typer.Argument()], base: BaseOption = None) -> None:
    """Remove a user: their sessions end, and their keys are revoked."""
    with reported(), _accounts(base) as (_, accounts):
        accounts.remove_user(_SHELL, name)
        console.print(f"removed {escape(name)}")
        _tell_locked(accounts)


@users.command("passwd")
def set_password(
    name: Annotated[str, typer.Argument()],
    password_stdin: FromInput = False,
    base: BaseOption = None,
) -> None:
    """Give a user another password; their sessions end."""
    with reported(), _accounts(base) as (_, accounts):
        accounts.set_password(_SHELL, name, _password(password_stdin))
        console.print(f"{escape(name)} has another password")


@keys.command("add")
def add_key(  # noqa: PLR0913 -- a command's options are its arguments
    name: Annotated[str, typer.Argument(help="What it is for.")],
    right: Rights = None,
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="Only this one; else all. Repeatable."),
    ] = None,
    expires: Annotated[str, typer.Option(help="90d, 12h, 2027-01-31 or never.")] = "never",
    user: Annotated[str, typer.Option(help="Whose it is; else nobody's.")] = "",
    as_json: JsonOption = False,
    base: BaseOption = None,
) -> None:
    """Make an API key. It is shown now, and never again."""
    with reported(as_json=as_json), _accounts(base) as (_, accounts):
        wanted = Wanted(name, right or ("read", "ask"), collection or None, expires, user.lower())
        key, secret = accounts.add_key(_SHELL, wanted)
        if as_json:
            print_json(key.shown() | {"key": secret})
        else:
            console.print(f"{secret}\nkept is only its digest: store it now (id {key.id})")


@keys.command("list")
def list_keys(as_json: JsonOption = False, base: BaseOption = None) -> None:
    """Show which keys there are; never the keys themselves."""
    with reported(as_json=as_json), _accounts(base) as (_, accounts):
        found = [key.shown() for key in accounts.keys.every()]
        if as_json:
            print_json({"keys": found})
        else:
            _print(("id", "name", "rights", "collections", "user", "expires", "expired"), found)


@keys.command("rm")
def remove_key(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")],
    base: BaseOption = None,
) -> None:
    """Revoke a key: the next request with it is refused."""
    with reported(), _accounts(base) as (_, accounts):
        accounts.remove_key(_SHELL, key_id)
        console.print(f"revoked {escape(key_id)}")
        _tell_locked(accounts)


@keys.command("open")
def open_again(base: BaseOption = None) -> None:
    """Let everybody on this machine in without a key, where no user and no key is left."""
    with reported(), _accounts(base) as (_, accounts):
        accounts.open_again(_SHELL)
        console.print("open: on loopback nobody has to say who they are")


def retain(as_json: JsonOption = False, base: BaseOption = None) -> None:
    """Forget now what is older than the periods of [serve.retain]; the server does it daily."""
    with reported(as_json=as_json), _accounts(base) as (stack, _):
        settings = serve_settings(stack.config.serve)
        gone = sweep(stack.parts.catalog, stack.folder, settings.retain)
        if as_json:
            print_json({"removed": gone})
        else:
            console.print(", ".join(f"{count} {what}" for what, count in gone.items()) + " removed")


def _tell_locked(accounts: Accounts) -> None:
    if accounts.locked:
        console.print(LOCKED)


def _password(from_input: bool) -> str:
    """Return a password that no history of a shell and no list of processes shows."""
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InputError(
            "there is nobody here to type a password", hint="pipe it in, with --password-stdin"
        )
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise InputError("the two are not the same")
    return password


def _print(columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(escape(_text(row[column])) for column in columns))
    console.print(table)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
