"""A loop's effects in, acts out: asks the generator, calls the tools, and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragstack.agents.arguments import checked
from ragstack.agents.loop import AskModel, Effect, Finish, Loop
from ragstack.errors import Cancelled, InputError
from ragstack.protocols import Generator, Tool
from ragstack.types import Message, Sampling, ToolCall

__all__ = ["drive"]


def drive(
    loop: Loop, generator: Generator, tools: Sequence[Tool], *, sampling: Sampling | None = None
) -> Finish:
    """Return how the loop ends, doing whatever it asks for.

    Arguments that do not fit a tool, or that it refuses with InputError, are the model's mistake
    and go back to it. Every other error of a tool or of the generator is ours, and is raised.

    Raises:
        UnsupportedCapability: The generator cannot call tools.
        Cancelled: The generator was stopped.
    """
    by_name = {tool.spec.name: tool for tool in tools}
    chosen = sampling or Sampling()
    try:
        effect = next(loop)
        while True:
            effect = loop.send(_act(effect, generator, by_name, chosen))
    except StopIteration as end:
        finish: Finish = end.value
        return finish
    finally:
        loop.close()


def _act(
    effect: Effect, generator: Generator, tools: Mapping[str, Tool], sampling: Sampling
) -> Message | str:
    if isinstance(effect, AskModel):
        return _ask(effect, generator, sampling)
    tool = tools.get(effect.call.name)
    if tool is None:
        raise InputError(
            f"the loop calls the tool {effect.call.name!r}, which was not given; "
            f"given: {', '.join(tools) or 'none'}"
        )
    try:
        return tool(**checked(tool.spec, effect.call.arguments))
    except InputError as error:
        return f"error: {error}"


def _ask(effect: AskModel, generator: Generator, sampling: Sampling) -> Message:
    texts: list[str] = []
    calls: list[ToolCall] = []
    for delta in generator.stream(effect.messages, sampling=sampling, tools=effect.tools):
        texts.append(delta.text)
        if delta.tool_call is not None:
            calls.append(delta.tool_call)
        if delta.finish == "cancelled":
            raise Cancelled("the generation was stopped")
    return Message("assistant", "".join(texts), tool_calls=tuple(calls))
