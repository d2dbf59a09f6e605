"""Types in, schemas out: what a value of the type is made of, and nothing JSON cannot give back."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import pytest

from ragstack.errors import InputError
from ragstack.types.schemas import schema_of


class Colour(enum.Enum):
    RED = "red"
    NONE = None


class Odd(enum.Enum):
    PAIR = (1, 2)


class Place(TypedDict, total=False):
    name: Required[str]
    height: float


class Node(TypedDict):
    label: str
    next: NotRequired[Node]


@dataclass
class Part:
    name: Annotated[str, "what it is called"]
    count: int = 1
    inner: list[Part] = field(default_factory=list)
    weight: float = field(default=0.0, init=False)


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (None, {"type": "null"}),
        (bool, {"type": "boolean"}),
        (Any, {}),
        (datetime.date, {"type": "string", "format": "date"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (list, {"type": "array"}),
        (Sequence[float], {"type": "array", "items": {"type": "number"}}),
        (set[str], {"type": "array", "items": {"type": "string"}}),
        (dict, {"type": "object", "additionalProperties": True}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Annotated[int, 3], {"type": "integer"}),
        (Annotated[int, "metres"], {"type": "integer", "description": "metres"}),
        (Colour, {"enum": ["red", None]}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            Place,
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "height": {"type": "number"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_types_of_json(hint: Any, schema: dict[str, object]) -> None:
    assert schema_of(hint) == schema


def test_a_type_may_contain_itself() -> None:
    found = schema_of(Part)
    assert found["$ref"] == "#/$defs/Part"
    (members,) = found["$defs"].values()  # type: ignore[attr-defined]
    assert members["required"] == ["name"]
    assert list(members["properties"]) == ["name", "count", "inner"]  # none that init leaves out
    assert members["properties"]["inner"]["items"] == {"$ref": "#/$defs/Part"}
    assert members["properties"]["name"]["description"] == "what it is called"
    node = schema_of(list[Node])
    assert node["items"] == {"$ref": "#/$defs/Node"}
    assert node["$defs"]["Node"]["required"] == ["label"]  # type: ignore[index]


def test_two_types_of_one_name_are_kept_apart() -> None:
    def other() -> Any:
        class Node(TypedDict):
            leaf: NotRequired[Any]

        Node.__annotations__["leaf"] = NotRequired[Node]
        return Node

    class Both(TypedDict):
        one: Node
        two: Any

    Both.__annotations__["two"] = other()
    definitions = schema_of(Both)["$defs"]
    assert set(definitions) == {"Node", "Node_"}  # type: ignore[call-overload]


@pytest.mark.parametrize("hint", [bytes, complex, dict[int, str], list[bytes], Odd])
def test_what_json_has_no_type_for(hint: Any) -> None:
    with pytest.raises(InputError, match="the answer"):
        schema_of(hint, place="the answer")


@pytest.mark.parametrize("hint", [Part, Colour, tuple[int, str], set[int], datetime.date, Node])
def test_plain_takes_what_comes_back_as_it_went(hint: Any) -> None:
    schema_of(hint)
    with pytest.raises(InputError):
        schema_of(hint, plain=True)
    assert schema_of(Place, plain=True) == schema_of(Place)
    assert schema_of(dict[str, Literal["a"]], plain=True)
