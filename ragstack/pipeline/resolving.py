"""A generator's plug-in in, the same with a model that can be had out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ragstack import registry
from ragstack.config import Plugin
from ragstack.errors import ConfigError

__all__ = ["named", "resolved"]


def resolved(
    plugin: Plugin, *, pull: bool, progress: Callable[[str, int, int], None]
) -> tuple[Plugin, str]:
    """Return the plug-in with its model's name, and a note where that is a smaller one.

    A model that cannot be had gives way to a smaller one, and every answer says so.
    """
    named = [plugin.options["model"]] if "model" in plugin.options else []
    found = registry.load("models", "resolve")(*named, pull=pull, progress=progress)
    return Plugin(plugin.use, {**plugin.options, "model": found.name}), found.note


def named(generators: Mapping[str, Plugin], name: str) -> Plugin:
    """Return one of ``[generators]``.

    Raises:
        ConfigError: None has that name.
    """
    if name not in generators:
        raise ConfigError(
            f"no generator is named {name!r}; known: {', '.join(generators) or 'none'}",
            hint=f"add [generators.{name}] to ragstack.toml",
        )
    return generators[name]
