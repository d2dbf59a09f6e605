"""The LangChain chat model over a real, small model: it streams, calls tools, fills schemas."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from ragstack.generate.local import LocalGenerator
from ragstack_connectors.langchain import RagstackChatModel

pytestmark = pytest.mark.integration


class Place(BaseModel):
    """Where something stands."""

    name: str
    floor: int


@tool
def look_up(place: str) -> str:
    """Look up a place."""
    return f"{place} is on the second floor"


@pytest.fixture(scope="module")
def model() -> Iterator[RagstackChatModel]:
    generator = LocalGenerator(model="smollm2-135m-instruct", context_size=2048)
    yield RagstackChatModel(generator=generator, max_tokens=128)
    generator.close()


def test_it_streams(model: RagstackChatModel) -> None:
    chunks = list(model.stream("Say hello."))
    assert len(chunks) > 1
    assert chunks[-1].usage_metadata is not None
    whole = model.invoke("Say hello.")
    assert whole.content == "".join(str(chunk.content) for chunk in chunks)


def test_a_tool_that_must_be_called_is(model: RagstackChatModel) -> None:
    said = model.bind_tools([look_up], tool_choice="any").invoke("Where is the kitchen?")
    assert isinstance(said, AIMessage)
    (call,) = said.tool_calls
    assert call["name"] == "look_up"
    assert isinstance(look_up.invoke(call["args"]), str)


def test_a_schema_is_filled(model: RagstackChatModel) -> None:
    found = model.with_structured_output(Place).invoke("The kitchen is on floor 2.")
    assert isinstance(found, Place)
