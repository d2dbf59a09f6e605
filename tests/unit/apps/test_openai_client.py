"""The server as OpenAI's own client sees it. Skipped where that package is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ragstack.generate.local import LocalGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Delta, ToolCall
from ragstack_apps.server.running import Server

openai: Any = pytest.importorskip("openai", reason="openai is missing: install the extra dev")

Serve = Callable[..., Server]
_ASKED: Any = [{"role": "user", "content": "Who pays?"}]


@pytest.fixture
def connect(serve: Serve) -> Iterator[Callable[[Any], Any]]:
    """Makes a client of a server over a generator."""
    made: list[Any] = []

    def make(generator: Any) -> Any:
        # Its own transport is configured by the environment; what a proxy does is not tested here.
        client = openai.OpenAI(base_url=f"{serve(generator).url}/v1", api_key="none", max_retries=0)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


def test_models_and_a_completion(connect: Any, tiny: LocalGenerator) -> None:
    client = connect(tiny)
    assert tiny.name in [model.id for model in client.models.list()]
    reply = client.chat.completions.create(model=tiny.name, messages=_ASKED, max_tokens=8, seed=1)
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage.completion_tokens <= 8


def test_a_stream_with_its_usage(connect: Any, tiny: LocalGenerator) -> None:
    client = connect(tiny)
    options: Any = {"model": tiny.name, "messages": _ASKED, "max_tokens": 8}
    whole = client.chat.completions.create(**options).choices[0].message.content
    stream = client.chat.completions.create(
        **options, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces) == whole
    assert chunks[-1].usage.completion_tokens <= 8


def test_choices_and_their_log_probabilities(connect: Any, tiny: LocalGenerator) -> None:
    reply = connect(tiny).chat.completions.create(
        model=tiny.name,
        messages=_ASKED,
        n=2,
        temperature=1.0,
        max_tokens=5,
        logprobs=True,
        top_logprobs=2,
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    for choice in reply.choices:
        assert all(len(one.top_logprobs) == 2 for one in choice.logprobs.content)


def test_a_schema_and_a_stop(connect: Any, tiny: LocalGenerator) -> None:
    client = connect(tiny)
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    form = {"type": "json_schema", "json_schema": {"name": "pet", "schema": schema}}
    create = client.chat.completions.create
    reply = create(model=tiny.name, messages=_ASKED, response_format=form, max_tokens=64)
    assert isinstance(json.loads(reply.choices[0].message.content)["age"], int)
    script = ScriptedGenerator(["one two three"])
    reply = connect(script).chat.completions.create(
        model=script.name, messages=_ASKED, stop=["two"]
    )
    assert reply.choices[0].message.content.strip() == "one"


def test_tools(connect: Any) -> None:
    call = Delta(tool_call=ToolCall("call_1", "weather", {"city": "Oslo"}))
    script = ScriptedGenerator([[call, Delta(finish="tool_calls")]])
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    reply = connect(script).chat.completions.create(
        model=script.name, messages=_ASKED, tools=[tool]
    )
    (made,) = reply.choices[0].message.tool_calls
    assert json.loads(made.function.arguments) == {"city": "Oslo"}


def test_errors_are_the_client_s_own(connect: Any, tiny: LocalGenerator) -> None:
    create = connect(tiny).chat.completions.create
    with pytest.raises(openai.NotFoundError, match="no model is named"):
        create(model="no-such-model", messages=_ASKED)
    with pytest.raises(openai.BadRequestError, match="n is 99"):
        create(model=tiny.name, messages=_ASKED, n=99)
