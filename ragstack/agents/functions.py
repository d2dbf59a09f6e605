"""A Python function in, a Tool out: its name, docstring and type hints become the specification."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable

from ragstack.agents.arguments import checked
from ragstack.errors import InputError
from ragstack.types import ToolSpec, schema_of

__all__ = ["FunctionTool", "function_tool"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Example|Examples|Note|Notes):\s*$")
_ARGUMENT = re.compile(r"^(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


class FunctionTool:
    """A function that an agent can call."""

    def __init__(self, function: Callable[..., object], spec: ToolSpec) -> None:
        self._function = function
        self._spec = spec

    @property
    def spec(self) -> ToolSpec:
        """Name, description and parameters, as the generator sees them."""
        return self._spec

    def __call__(self, /, **arguments: object) -> str:
        """Return what the function returns: text as it is, anything else as JSON.

        Raises:
            InputError: The arguments do not fit the specification, or the function refuses them.
        """
        result = self._function(**checked(self._spec, arguments))
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def function_tool(function: Callable[..., object]) -> FunctionTool:
    """Return the tool that a function makes; it serves as a decorator too.

    The description is the docstring without its sections; a parameter's is its line under
    ``Args:``. Hints may be ``str int float bool None Any``, lists, sequences and dicts of these,
    ``Literal``, TypedDicts and unions. A parameter with a default may be left out.

    Raises:
        InputError: No docstring, a parameter without a hint or of a type that JSON does not have.

    Example:
        >>> def add(a: int, b: int = 0) -> int:
        ...     "Add two numbers."
        ...     return a + b
        >>> function_tool(add)(a=2, b=3)
        '5'
    """
    name = getattr(function, "__name__", "")
    if not _NAME.fullmatch(name):
        raise InputError(f"a tool is a function with a name, got {function!r}")
    description, lines = _documented(inspect.getdoc(function) or "")
    if not description:
        raise InputError(
            f"the function {name!r} has no docstring", hint="say in it when to use the tool"
        )
    hints = typing.get_type_hints(function)
    properties: dict[str, object] = {}
    required: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InputError(f"{name!r}: the parameter {parameter.name!r} cannot be given by name")
        if parameter.name not in hints:
            raise InputError(f"{name!r}: the parameter {parameter.name!r} has no type hint")
        schema = schema_of(hints[parameter.name], place=f"{name}.{parameter.name}", plain=True)
        if parameter.name in lines:
            schema["description"] = lines[parameter.name]
        properties[parameter.name] = schema
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    parameters: dict[str, object] = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return FunctionTool(function, ToolSpec(name, description, parameters))


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's text before its sections, and its arguments' lines by name."""
    before: list[str] = []
    lines: dict[str, str] = {}
    section, current = "", ""
    for line in text.split("\n"):
        if heading := _SECTION.match(line):
            section = heading[1]
        elif not section:
            before.append(line)
        elif section.startswith("Arg") and line.strip():
            deeper = len(line) - len(line.lstrip()) > 4
            if not deeper and (found := _ARGUMENT.match(line.strip())):
                current = found[1]
                lines[current] = found[2].strip()
            elif current:
                lines[current] = f"{lines[current]} {line.strip()}".strip()
    return "\n".join(before).strip(), lines
