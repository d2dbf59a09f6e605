"""Prompts as data: one TOML file a language, every variable checked when read and when used.

The values of variables are inserted as they are: braces in a passage mean nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ragstack.errors import ConfigError, InputError

__all__ = ["LANGUAGES", "Prompts", "load", "parse"]

LANGUAGES = ("en", "fr")

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_VARIABLES: Mapping[str, frozenset[str]] = {
    "answer.user": frozenset({"passages", "question", "instruction"}),
    "check.verify": frozenset({"answer"}),
    "chat.rewrite_user": frozenset({"history", "question"}),
    "chat.summary_user": frozenset({"history"}),
}


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of one language, by dotted name (``answer.user``)."""

    language: str
    version: str
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]

    def render(self, name: str, /, **values: str) -> str:
        """Return a prompt with its variables filled in.

        Raises:
            InputError: A variable is missing, or one is given that the prompt does not have.
        """
        wanted = _VARIABLES.get(name, frozenset())
        if set(values) != wanted:
            raise InputError(
                f"prompt {name!r} takes {sorted(wanted) or 'no variables'}, got {sorted(values)}"
            )
        return _VARIABLE.sub(lambda match: values[match.group(1)], self.texts[name])


@cache
def load(language: str) -> Prompts:
    """Return the prompts of a language; English for one that has none."""
    code = language if language in LANGUAGES else "en"
    text = resources.files(__name__).joinpath(f"{code}.toml").read_text("utf-8")
    return parse(text, language=code)


def parse(text: str, *, language: str) -> Prompts:
    """Return the prompts written in a TOML text.

    Raises:
        ConfigError: A prompt lacks a variable, or has one that it cannot have.
    """
    data = tomllib.loads(text)
    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for section, entries in data.items():
        if not isinstance(entries, Mapping):
            continue
        for key, value in entries.items():
            name = f"{section}.{key}"
            if isinstance(value, list):
                lists[name] = tuple(str(item) for item in value)
                continue
            texts[name] = str(value)
            found = frozenset(_VARIABLE.findall(texts[name]))
            if found != _VARIABLES.get(name, frozenset()):
                wanted = sorted(_VARIABLES.get(name, frozenset()))
                raise ConfigError(f"prompt {name!r} has variables {sorted(found)}, needs {wanted}")
    return Prompts(language, str(data.get("version", "")), texts, lists)
