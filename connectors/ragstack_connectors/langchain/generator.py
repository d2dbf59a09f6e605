"""A LangChain chat model as a generator of ragstack."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk

from ragstack import Delta, Message, Sampling
from ragstack.errors import (
    ConfigError,
    ContextOverflow,
    GenerationError,
    InputError,
    RagstackError,
    UnsupportedCapability,
)
from ragstack.protocols import Capabilities
from ragstack.types import Grammar, ToolCall, ToolSpec, Usage, images_of
from ragstack_connectors.langchain.messages import to_langchain

__all__ = ["LangchainGenerator"]

_CHARACTERS = 2  # of a token, at least: an estimate may be above and never under
_MESSAGE_TOKENS = 8
_FINISHES = {"length": "length", "max_tokens": "length", "tool_calls": "tool_calls"}
_SETTINGS = ("max_tokens", "temperature", "top_p", "top_k", "seed")


class LangchainGenerator:
    """A Generator that asks a LangChain chat model; ``Stack.open(…, generator=…)`` takes it.

    The length of an answer, its temperature and its like go along where the model has a field of
    that name; stop strings always. Grammars cannot be enforced through LangChain.

    Args:
        model: The chat model.
        context_size: Tokens of its window: prompt and answer.
        images: Whether it reads them.

    Raises:
        ConfigError: ``model`` is no chat model.
    """

    def __init__(self, model: Any, *, context_size: int = 8192, images: bool = False) -> None:
        if not isinstance(model, BaseChatModel):
            raise ConfigError(f"model is {model!r}; a chat model of LangChain was expected")
        self._model = model
        self._context_size = context_size
        self._images = images

    @property
    def name(self) -> str:
        """The model's name."""
        params = self._model._get_ls_params()
        return params.get("ls_model_name") or type(self._model).__name__

    @property
    def capabilities(self) -> Capabilities:
        """Tools where the model can be bound to some; no grammars."""
        tools = type(self._model).bind_tools is not BaseChatModel.bind_tools
        return Capabilities(tools=tools, images=self._images, streams=8)

    @property
    def context_size(self) -> int:
        """Tokens of the window, as it was told."""
        return self._context_size

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return an estimate from above: LangChain cannot say what a prompt becomes."""
        return sum(len(m.text) // _CHARACTERS + 1 + _MESSAGE_TOKENS for m in messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        tools: Sequence[ToolSpec] = (),
        grammar: Grammar | None = None,
    ) -> Iterator[Delta]:
        """Yield the answer as it comes; see ``protocols.Generator``."""
        self._check(messages, sampling, tools, grammar)
        return self._deltas(messages, sampling, tools)

    def _check(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        tools: Sequence[ToolSpec],
        grammar: Grammar | None,
    ) -> None:
        if not messages:
            raise InputError("there are no messages to answer")
        if sampling.max_tokens < 0 or sampling.temperature < 0 or "" in sampling.stop:
            raise InputError(f"these settings mean nothing: {sampling!r}")
        if grammar is not None:
            raise UnsupportedCapability("a LangChain chat model cannot be held to a grammar")
        if tools and not self.capabilities.tools:
            raise UnsupportedCapability(f"{self.name!r} takes no tools")
        if not self._images and any(map(images_of, messages)):
            raise UnsupportedCapability(f"{self.name!r} was not said to read images")
        prompt = self.count_tokens(messages)
        if prompt + sampling.max_tokens > self._context_size:
            raise ContextOverflow(
                f"the prompt has some {prompt} tokens and the answer may have "
                f"{sampling.max_tokens}, the window holds {self._context_size}"
            )

    def _deltas(
        self, messages: Sequence[Message], sampling: Sampling, tools: Sequence[ToolSpec]
    ) -> Iterator[Delta]:
        begun = time.perf_counter()
        model: Any = self._model.bind_tools([_tool(t) for t in tools]) if tools else self._model
        fields = type(self._model).model_fields
        settings = {name: getattr(sampling, name) for name in _SETTINGS if name in fields}
        whole: AIMessageChunk | None = None
        stream = model.stream(to_langchain(messages), stop=list(sampling.stop) or None, **settings)
        try:
            for chunk in stream:
                whole = chunk if whole is None else whole + chunk
                reasoning = chunk.additional_kwargs.get("reasoning_content") or ""
                if chunk.text or reasoning:
                    yield Delta(chunk.text, reasoning)
        except RagstackError:
            raise
        # Other people's code, which fails in ways of its own.
        except Exception as error:
            raise GenerationError(
                f"{self.name!r} failed: {type(error).__name__}: {error}"
            ) from error
        finally:
            close = getattr(stream, "close", None)
            if close:
                close()
        calls = whole.tool_calls if whole else []
        for place, call in enumerate(calls):
            yield Delta(
                tool_call=ToolCall(call["id"] or f"call_{place}", call["name"], call["args"])
            )
        yield Delta(finish=_finish(whole, bool(calls)), usage=self._usage(whole, messages, begun))

    def _usage(
        self, whole: AIMessageChunk | None, messages: Sequence[Message], begun: float
    ) -> Usage:
        seconds = time.perf_counter() - begun
        said = whole.usage_metadata if whole else None
        if said is None:
            text = whole.text if whole else ""
            return Usage(self.count_tokens(messages), 0, len(text) // 4 + 1, seconds)
        cached = said.get("input_token_details", {}).get("cache_read", 0) or 0
        return Usage(said["input_tokens"], cached, said["output_tokens"], seconds)


def _tool(spec: ToolSpec) -> dict[str, Any]:
    function = {
        "name": spec.name,
        "description": spec.description,
        "parameters": dict(spec.parameters),
    }
    return {"type": "function", "function": function}


def _finish(whole: AIMessageChunk | None, called: bool) -> str:
    if called:
        return "tool_calls"
    said = whole.response_metadata if whole else {}
    reason = said.get("finish_reason") or said.get("stop_reason") or said.get("done_reason")
    found = _FINISHES.get(str(reason), "stop")
    return "stop" if found == "tool_calls" else found
