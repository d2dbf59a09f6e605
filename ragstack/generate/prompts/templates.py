"""Templates as data: a name with a version and its variables in, messages out.

Chain of thought: Wei et al. 2022 (arXiv 2201.11903) and Kojima et al. 2022 (arXiv 2205.11916);
few-shot: Brown et al. 2020 (arXiv 2005.14165). The values of variables are inserted as they are:
braces in them mean nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ragstack.errors import ConfigError, InputError
from ragstack.types import Message

__all__ = ["LANGUAGES", "Template", "parse_templates", "template", "template_names"]

LANGUAGES = ("en", "fr")

_NAME = re.compile(r"([a-z][a-z0-9-]*)@([1-9][0-9]*)")
_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_TEXTS = frozenset({"system", "user", "mark", "shown", "answered"})
_LISTS = frozenset({"variables", "example"})


@dataclass(frozen=True, slots=True)
class Template:
    """How to ask for something.

    Attributes:
        name: With its version: ``cot@1``. Under one name the words never change.
        variables: What ``messages`` must be given.
        system: Empty for no system message.
        mark: What the conclusion stands after; empty where the whole reply is the answer.
        example: What each example must have; empty where there are none.
        shown: An example's question.
        answered: And its answer.
    """

    name: str
    language: str
    variables: frozenset[str]
    system: str
    user: str
    mark: str = ""
    example: frozenset[str] = frozenset()
    shown: str = ""
    answered: str = ""

    def messages(
        self, examples: Sequence[Mapping[str, str]] = (), /, **values: str
    ) -> list[Message]:
        """Return the messages that ask; examples come as turns of a conversation before it.

        Raises:
            InputError: A variable is missing or unknown, of an example too; or there are examples
                and the template has no place for them.
        """
        if examples and not self.example:
            raise InputError(
                f"template {self.name!r} shows no examples, got {len(examples)}",
                hint="few-shot@1 and few-shot-cot@1 do",
            )
        asked = f"template {self.name!r}"
        said = [Message("system", _fill(self.system, values, self.variables, asked))]
        for place, example in enumerate(examples, start=1):
            what = f"example {place} of {asked}"
            said.append(Message("user", _fill(self.shown, example, self.example, what)))
            said.append(Message("assistant", _fill(self.answered, example, self.example, what)))
        said.append(Message("user", _fill(self.user, values, self.variables, asked)))
        return said if self.system else said[1:]

    def conclusion(self, reply: str) -> str:
        """Return what stands after the last mark of a reply, the whole reply where there is none.

        Spaces, the mark's case and signs of emphasis around it make no difference.
        """
        if not self.mark:
            return reply.strip()
        words = r"\s*".join(map(re.escape, re.findall(r"\w+|[^\w\s]", self.mark)))
        found = list(re.finditer(rf"(?<!\w){words}[*_]*", reply, re.IGNORECASE))
        return reply[found[-1].end() :].strip() if found else reply.strip()


def template(name: str, language: str = "en") -> Template:
    """Return a template; without a version (``cot``) the newest, English where there is no other.

    Raises:
        InputError: There is none of this name.
    """
    found = _shipped(language if language in LANGUAGES else "en")
    versions = [known for known in found if name in (known, known.partition("@")[0])]
    if not versions:
        raise InputError(f"no template is called {name!r}, there are {', '.join(sorted(found))}")
    return found[max(versions, key=_version)]


def template_names() -> list[str]:
    """Return the names of the templates that come with ragstack, with their versions."""
    return sorted(_shipped("en"))


def parse_templates(text: str, *, language: str) -> dict[str, Template]:
    """Return the templates written in a TOML text, by name.

    Raises:
        ConfigError: It is not TOML; a name has no version; a key is missing or unknown; a text has
            a variable that is not declared, or a declared one stands nowhere.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the templates are not TOML: {error}") from error
    return {name: _template(name, language, table) for name, table in data.items()}


@cache
def _shipped(language: str) -> Mapping[str, Template]:
    file = resources.files(__package__).joinpath(f"templates.{language}.toml")
    return parse_templates(file.read_text("utf-8"), language=language)


def _version(name: str) -> int:
    return int(name.partition("@")[2])


def _template(name: str, language: str, table: object) -> Template:
    if not _NAME.fullmatch(name) or not isinstance(table, dict):
        raise ConfigError(f"{name!r} is no template, expected a table named like 'cot@1'")
    _check_keys(name, table)
    fields: dict[str, Any] = {
        key: frozenset(value) if key in _LISTS else value for key, value in table.items()
    }
    made = Template(name=name, language=language, **fields)
    _check_variables(f"template {name!r}", made.system + made.user, made.variables)
    _check_variables(f"the example of {name!r}", made.shown + made.answered, made.example)
    return made


def _check_keys(name: str, table: Mapping[str, object]) -> None:
    needed = {"variables", "system", "user"}
    if {"example", "shown", "answered"} & table.keys():
        needed |= {"example", "shown", "answered"}
    missing, unknown = needed - table.keys(), table.keys() - _TEXTS - _LISTS
    if missing or unknown:
        raise ConfigError(
            f"template {name!r} lacks {sorted(missing)} and has the unknown {sorted(unknown)}"
        )
    for key, value in table.items():
        if key in _TEXTS and not isinstance(value, str):
            raise ConfigError(f"{key} of template {name!r} is {value!r}, expected a text")
        named = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if key in _LISTS and not named:
            raise ConfigError(f"{key} of template {name!r} is {value!r}, expected a list of names")


def _check_variables(what: str, text: str, declared: frozenset[str]) -> None:
    found = frozenset(_VARIABLE.findall(text))
    if found != declared:
        raise ConfigError(f"{what} has the variables {sorted(found)}, declares {sorted(declared)}")


def _fill(text: str, values: Mapping[str, str], wanted: frozenset[str], what: str) -> str:
    if values.keys() != wanted:
        raise InputError(f"{what} takes {sorted(wanted) or 'no variables'}, got {sorted(values)}")
    for name, value in values.items():
        given: object = value
        if not isinstance(given, str):
            raise InputError(f"{name} of {what} is {given!r}, expected a text")
    return _VARIABLE.sub(lambda found: values[found.group(1)], text)
