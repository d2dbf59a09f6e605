"""The promises of a tool, as tests: subclass ``ToolSuite``, write ``make`` and two examples."""

from __future__ import annotations

import copy
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from ragstack.errors import InputError
from ragstack.protocols import Closeable, Tool

__all__ = ["ToolSuite"]


class ToolSuite(ABC):
    """What every tool promises."""

    @abstractmethod
    def make(self) -> Tool:
        """Return a new tool."""

    @abstractmethod
    def good_arguments(self) -> dict[str, object]:
        """Return arguments that the tool can use."""

    @pytest.fixture
    def tool(self) -> Iterator[Tool]:
        """A new tool, closed after the test if it can be."""
        made = self.make()
        yield made
        if isinstance(made, Closeable):
            made.close()

    def test_the_name_is_one_that_generators_accept(self, tool: Tool) -> None:
        """Servers refuse names with spaces or dots: 1 to 64 of letters, digits, ``_``, ``-``."""
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool.spec.name)

    def test_the_description_says_something(self, tool: Tool) -> None:
        """It is all that a model knows of the tool when it chooses."""
        assert tool.spec.description.strip()

    def test_the_parameters_are_an_object_schema_in_plain_json(self, tool: Tool) -> None:
        """A schema travels as JSON; what is required must be among the properties."""
        parameters = json.loads(json.dumps(tool.spec.parameters))
        assert parameters["type"] == "object"
        properties = cast("Mapping[str, object]", parameters.get("properties", {}))
        assert set(parameters.get("required", ())) <= set(properties)

    def test_the_specification_stays_the_same(self, tool: Tool) -> None:
        """A call must not change what the next prompt says of the tool."""
        before = copy.deepcopy(tool.spec)
        tool(**self.good_arguments())
        assert tool.spec == before

    def test_the_example_is_declared(self, tool: Tool) -> None:
        """The example's arguments stand in the schema, and all that are required are given."""
        given = self.good_arguments()
        properties = cast("Mapping[str, object]", tool.spec.parameters.get("properties", {}))
        required = cast("list[str]", tool.spec.parameters.get("required", []))
        assert set(given) <= set(properties)
        assert set(required) <= set(given)

    def test_good_arguments_give_text(self, tool: Tool) -> None:
        """A generator reads text: not None, not a number, and not nothing."""
        found = tool(**self.good_arguments())
        assert isinstance(found, str)
        assert found

    def test_arguments_are_left_alone(self, tool: Tool) -> None:
        """Lists and dicts among the arguments belong to the caller's conversation."""
        given = self.good_arguments()
        before = copy.deepcopy(given)
        tool(**given)
        assert given == before

    def test_a_missing_argument_is_an_input_error(self, tool: Tool) -> None:
        """To leave out what is required is the model's mistake: InputError, so it can try again."""
        required = cast("list[str]", tool.spec.parameters.get("required", []))
        for name in required:
            given = self.good_arguments()
            del given[name]
            with pytest.raises(InputError):
                tool(**given)

    def test_an_unknown_argument_is_an_input_error(self, tool: Tool) -> None:
        """A name that is not in the schema is refused, not swallowed; ``self`` is a name too."""
        for name in ("no_such_argument", "self"):
            with pytest.raises(InputError):
                tool(**{**self.good_arguments(), name: 1})

    def test_an_argument_of_another_type_is_an_input_error(self, tool: Tool) -> None:
        """Models write lists for strings and null for numbers: InputError, never a TypeError."""
        for name in self.good_arguments():
            for wrong in (None, [object()], {"x": {"y": 1}}):
                try:
                    tool(**{**self.good_arguments(), name: wrong})
                except InputError as error:
                    assert error.message
