"""A generator of ragstack as a LangChain chat model: streaming, tools, structured output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from ragstack import Delta, Message, Sampling
from ragstack.errors import GenerationError, InputError
from ragstack.types import JsonSchema, ToolCall, ToolSpec, Usage
from ragstack_connectors.langchain.messages import from_langchain

__all__ = ["RagstackChatModel"]

_ANY = ("any", "required", True)
_FORCED = (
    "You answer with one call of a tool, and nothing else: a JSON object with the tool's name and "
    "its arguments, as its parameters ask for. The tools:\n"
)


class RagstackChatModel(BaseChatModel):
    """Answers as a generator of ragstack does: ``stack.parts.generator`` is that of a base.

    Where a tool must be called (``tool_choice``, ``with_structured_output``), the generator is held
    to the tools' JSON schema, so that small models do it too.

    Attributes:
        generator: What answers.
        temperature: 0 is greedy.
        max_tokens: Of an answer.
        stop: Strings that end an answer.
    """

    generator: Any = Field(repr=False)
    temperature: float = 0.0
    max_tokens: int = 512
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: list[str] | None = None

    @property
    def _llm_type(self) -> str:
        return "ragstack"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("temperature", "max_tokens", "top_p", "top_k", "seed", "stop")
        return {"model": self.generator.name, **{name: getattr(self, name) for name in names}}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        params["ls_provider"] = "ragstack"
        params.setdefault("ls_model_name", self.generator.name)
        return params

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools.

        Args:
            tool_choice: ``any`` or a tool's name: one is called. ``auto`` or None: as the model
                will, where its template has a place for tools.
        """
        kwargs.pop("strict", None)  # what a tool is called with is always held to its schema
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole: AIMessageChunk | None = None
        for chunk in self._stream(messages, stop, run_manager, **kwargs):
            one = chunk.message
            assert isinstance(one, AIMessageChunk)
            whole = one if whole is None else whole + one
        if whole is None:
            raise GenerationError("the generator ended without a word")
        message = AIMessage(
            content=whole.content,
            tool_calls=whole.tool_calls,
            invalid_tool_calls=whole.invalid_tool_calls,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
            additional_kwargs=whole.additional_kwargs,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = kwargs.get("model")
        if asked not in (None, self.generator.name):
            raise InputError(f"the model is {self.generator.name!r}, {asked!r} was asked for")
        tools = [_spec(tool) for tool in kwargs.get("tools") or ()]
        forced = _forced(tools, kwargs.get("tool_choice"))
        if kwargs.get("tool_choice") == "none":
            tools = []
        read = from_langchain(messages)
        sampling = self._sampling(stop, kwargs)
        if forced:
            deltas = self._called(read, forced, sampling)
        else:
            deltas = self.generator.stream(read, sampling=sampling, tools=tools)
        calls = 0
        for delta in deltas:
            chunk = self._chunk(delta, calls)
            calls += delta.tool_call is not None
            if run_manager:
                run_manager.on_llm_new_token(delta.text, chunk=chunk)
            yield chunk

    def _sampling(self, stop: list[str] | None, asked: dict[str, Any]) -> Sampling:
        names = ("temperature", "max_tokens", "top_p", "top_k", "seed")
        chosen = {
            name: getattr(self, name) if asked.get(name) is None else asked[name] for name in names
        }
        return Sampling(**chosen, stop=tuple(stop or self.stop or ()))

    def _called(
        self, messages: list[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> Iterator[Delta]:
        """Yield one call of one of the tools, whose arguments its schema accepts."""
        capabilities = self.generator.capabilities
        shown = "\n".join(
            json.dumps(
                {"name": t.name, "description": t.description, "parameters": t.parameters},
                ensure_ascii=False,
            )
            for t in tools
        )
        told = _with_system(messages, _FORCED + shown)
        if "json_schema" not in capabilities.grammars:
            yield from self._hoped_for(told, tools, sampling)
            return
        grammar = JsonSchema(_schema_of(tools))
        text, last = "", Delta(finish="stop", usage=Usage())
        for delta in self.generator.stream(told, sampling=sampling, grammar=grammar):
            text += delta.text
            if delta.finish:
                last = delta
        try:
            said = json.loads(text)
            call = ToolCall(f"call_{len(messages)}", said["name"], dict(said["arguments"]))
        except (ValueError, KeyError, TypeError) as error:
            raise GenerationError(
                f"the call of a tool ended before its end: {text[-200:]!r}",
                hint=f"raise max_tokens, now {sampling.max_tokens}",
            ) from error
        yield Delta(tool_call=call)
        yield Delta(finish="tool_calls", usage=last.usage)

    def _hoped_for(
        self, messages: list[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> Iterator[Delta]:
        called = False
        for delta in self.generator.stream(messages, sampling=sampling, tools=tools):
            called = called or delta.tool_call is not None
            yield delta
        if not called:
            raise GenerationError(
                f"{self.generator.name!r} called no tool, and cannot be held to a JSON schema"
            )

    def _chunk(self, delta: Delta, calls: int) -> ChatGenerationChunk:
        message = AIMessageChunk(content=delta.text)
        if delta.reasoning:
            message.additional_kwargs["reasoning_content"] = delta.reasoning
        if delta.tool_call is not None:
            call = delta.tool_call
            args = json.dumps(dict(call.arguments), ensure_ascii=False)
            piece = tool_call_chunk(name=call.name, args=args, id=call.id, index=calls)
            message = AIMessageChunk(content=delta.text, tool_call_chunks=[piece])
        if delta.finish is None:
            return ChatGenerationChunk(message=message)
        message.response_metadata = {
            "model_name": self.generator.name,
            "finish_reason": delta.finish,
            "model_provider": "ragstack",
        }
        if delta.usage is not None:
            message.usage_metadata = _usage(delta.usage)
        message.chunk_position = "last"
        return ChatGenerationChunk(message=message, generation_info={"finish_reason": delta.finish})


def _usage(usage: Usage) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.answer_tokens,
        total_tokens=usage.prompt_tokens + usage.answer_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
    )


def _spec(tool: dict[str, Any]) -> ToolSpec:
    function = tool.get("function", tool)
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return ToolSpec(function["name"], function.get("description") or "", parameters)


def _forced(tools: Sequence[ToolSpec], choice: object) -> list[ToolSpec]:
    """Return the tools of which one must be called; none where the model may choose.

    Raises:
        InputError: A name that no tool has.
    """
    if choice in (None, False, "auto", "none"):
        return []
    if choice in _ANY:
        return list(tools)
    if isinstance(choice, dict):
        choice = choice.get("function", choice).get("name")
    found = [tool for tool in tools if tool.name == choice]
    if not found:
        names = ", ".join(tool.name for tool in tools) or "none"
        raise InputError(f"no tool is named {choice!r}; given: {names}")
    return found


def _schema_of(tools: Sequence[ToolSpec]) -> dict[str, Any]:
    calls = [
        {
            "type": "object",
            "properties": {"name": {"enum": [tool.name]}, "arguments": dict(tool.parameters)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def _with_system(messages: list[Message], text: str) -> list[Message]:
    if messages and messages[0].role == "system":
        return [Message("system", f"{messages[0].text}\n\n{text}"), *messages[1:]]
    return [Message("system", text), *messages]
