"""Names of commands to the commands, each imported when it is asked for by name.

So ``ragstack search`` waits for what a search needs, and for no measuring, serving or quantizing.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup

from ragstack import registry
from ragstack.errors import MissingExtra

__all__ = ["CommandGroup"]


class _Commands(MutableMapping[str, Any]):
    """Every registered command; what was loaded or set once stays."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}
        own = registry.TABLE["commands"]
        others = [name for name in registry.names("commands") if name not in own]
        self._names = dict.fromkeys([*own, *others])

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = _loaded(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._names[name] = None
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


class CommandGroup(TyperGroup):
    """A group whose commands are those of the registry, in its order."""

    def __init__(self, **options: Any) -> None:
        """Take what typer gives, but for the commands."""
        super().__init__(**{**options, "commands": None})
        self.commands = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, importing none."""
        return list(self.commands)


def _loaded(name: str) -> Any:
    """Return a command; where its extra is missing, one that says what to install."""
    try:
        found = registry.load("commands", name)
    except MissingExtra as missing:
        found = _Excuse(missing)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.callback()(_group)
    if isinstance(found, typer.Typer):
        single = found.registered_commands
        if len(single) != 1 or found.registered_callback is not None or found.registered_groups:
            alone.add_typer(found, name=name)
        elif single[0].callback is not None:
            alone.command(name)(single[0].callback)
    elif isinstance(found, _Excuse):
        anything = {"allow_extra_args": True, "ignore_unknown_options": True}
        alone.command(name, help=found.text, context_settings=anything)(found.tell)
    else:
        alone.command(name)(found)
    group: Any = typer.main.get_command(alone)
    return group.commands[name]


def _group() -> None:
    """Stand for a group, so that a command alone in it keeps its name."""


class _Excuse:
    """Why a command cannot be had here."""

    def __init__(self, missing: MissingExtra) -> None:
        self._missing = missing
        self.text = f"Not installed. {missing.hint}"

    def tell(self) -> None:
        """Raise it, now that somebody wants the command."""
        raise self._missing
