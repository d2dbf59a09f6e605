"""A body's bytes in, a ChatRequest out; whatever is wrong with it is an InputError that says where.

Knows OpenAI's words for things, and no engine. Fields it does not know are left alone: clients send
many that change nothing here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ragstack.errors import InputError
from ragstack.types import JsonSchema, Message, Sampling, ToolSpec
from ragstack_apps.server.messages import messages_of

__all__ = ["ChatRequest", "chat_request", "parsed"]

Kind = TypeVar("Kind")

_DEPTH = 64
_STOPS = 16
_TOOLS = 128
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
}
_WHOLE = {"top_k", "seed"}
_CHOICES = 16
_ALTERNATIVES = 20
_REFUSED: Mapping[str, object] = {"functions": [], "audio": None}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What ``/v1/chat/completions`` was asked.

    Attributes:
        choices: Answers wanted to the same messages.
        alternatives: Likely tokens to show beside each; None shows no log-probabilities.
        user: Who asks, as the client says; takes turns with others.
        retrieval: Options of ``Stack.stream``: ``style``, ``where``, ``quotes``.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[ToolSpec, ...] = ()
    grammar: JsonSchema | None = None
    choices: int = 1
    alternatives: int | None = None
    stream: bool = False
    include_usage: bool = False
    background: bool = False
    user: str = ""
    retrieval: Mapping[str, Any] = field(default_factory=dict)


def parsed(body: bytes) -> dict[str, Any]:
    """Return a body as an object whose texts can be written and whose numbers are finite.

    Raises:
        InputError: It is not such JSON, or it is nested too deeply.
    """
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"the body is not JSON: {reason}") from error
    if not isinstance(value, dict):
        raise InputError(f"the body is a JSON {type(value).__name__}, expected an object")
    _check(value)
    return value


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Return the request that a body describes.

    Raises:
        InputError: A field is missing, of the wrong type, or asks for what there is not.
    """
    model = _field(body, "model", str)
    if not model:
        raise InputError("model is missing, expected one of those that /v1/models lists")
    for name, off in _REFUSED.items():
        if body.get(name) not in (None, off):
            raise InputError(f"{name} is not supported here, leave it out")
    stream = bool(_field(body, "stream", bool))
    options = _field(body, "stream_options", dict) or {}
    if options and not stream:
        raise InputError("stream_options goes with stream: true alone")
    choices = body.get("n")
    choices = 1 if choices is None else _whole(choices, "n", 1, _CHOICES)
    alternatives = _alternatives(body)
    return ChatRequest(
        model=model,
        choices=choices,
        alternatives=alternatives,
        messages=messages_of(body.get("messages")),
        sampling=_sampling(body, alternatives),
        tools=_tools(body),
        grammar=_grammar(_field(body, "response_format", dict)),
        stream=stream,
        include_usage=bool(_field(options, "include_usage", bool)),
        background=_field(body, "service_tier", str) == "flex",
        user=_field(body, "user", str) or "",
        retrieval=_retrieval(_field(body, "ragstack", dict) or {}),
    )


def _alternatives(body: Mapping[str, Any]) -> int | None:
    wanted, most = _field(body, "logprobs", bool), body.get("top_logprobs")
    if not wanted:
        if most not in (None, 0):
            raise InputError("top_logprobs goes with logprobs: true alone")
        return None
    return 0 if most is None else _whole(most, "top_logprobs", 0, _ALTERNATIVES)


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{name} is {value!r}, expected a whole number, {least} to {most}")
    return value


def _sampling(body: Mapping[str, Any], alternatives: int | None) -> Sampling:
    # The engine tells nothing of a token without one alternative beside it.
    settings: dict[str, Any] = {"logprobs": 0 if alternatives is None else max(alternatives, 1)}
    for name, setting in _SAMPLING.items():
        value = body.get(name)
        if value is None:
            continue
        kinds = (int,) if name in _WHOLE else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            noun = "a whole number" if name in _WHOLE else "a number"
            raise InputError(f"{name} is {value!r}, expected {noun}")
        settings[setting] = value
    limit = body.get("max_completion_tokens")
    limit = body.get("max_tokens") if limit is None else limit
    if limit is not None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InputError(f"max_tokens is {limit!r}, expected a whole number, 1 or more")
        settings["max_tokens"] = limit
    bias = _field(body, "logit_bias", dict)
    if bias:
        settings["logit_bias"] = _bias(bias)
    return Sampling(stop=_stops(body.get("stop")), **settings)


def _bias(bias: Mapping[str, Any]) -> dict[int, float]:
    try:
        return {int(token): float(value) for token, value in bias.items()}
    except (TypeError, ValueError) as error:
        raise InputError("logit_bias is not as expected: token ids to numbers") from error


def _stops(value: Any) -> tuple[str, ...]:
    found = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(text, str) and text for text in found):
        raise InputError("stop is a text or a list of texts, none empty")
    if len(found) > _STOPS:
        raise InputError(f"stop has {len(found)} texts, expected {_STOPS} at most")
    return tuple(found)


def _tools(body: Mapping[str, Any]) -> tuple[ToolSpec, ...]:
    tools = _field(body, "tools", list) or []
    choice = body.get("tool_choice")
    if choice not in (None, "auto", "none"):
        raise InputError(f"tool_choice is {choice!r}, expected 'auto' or 'none'")
    if len(tools) > _TOOLS:
        raise InputError(f"there are {len(tools)} tools, expected {_TOOLS} at most")
    specs = tuple(_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools))
    return () if choice == "none" else specs


def _tool(tool: Any, place: str) -> ToolSpec:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise InputError(f"{place} is not as expected: an object of type 'function'")
    function = _field(tool, "function", dict) or {}
    name = _field(function, "name", str)
    if not name:
        raise InputError(f"{place}.function.name is missing")
    parameters = _field(function, "parameters", dict) or {"type": "object", "properties": {}}
    return ToolSpec(name, _field(function, "description", str) or "", parameters)


def _grammar(form: Mapping[str, Any] | None) -> JsonSchema | None:
    kind = "text" if form is None else form.get("type")
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return JsonSchema({"type": "object"})
    if kind != "json_schema":
        raise InputError(
            f"response_format.type is {kind!r}, expected 'text', 'json_object' or 'json_schema'"
        )
    schema = _field(_field(form, "json_schema", dict) or {}, "schema", dict)
    if schema is None:
        raise InputError("response_format.json_schema.schema is missing")
    return JsonSchema(schema)


def _retrieval(options: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "style": _field(options, "style", str),
        "quotes": _field(options, "quotes", bool),
        "where": _field(options, "where", dict),
    }
    unknown = sorted(set(options) - set(found))
    if unknown:
        raise InputError(f"ragstack has no option {unknown[0]!r}; known: {', '.join(found)}")
    return found


def _field(values: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind | None:
    value = values.get(name)
    if value is not None and not isinstance(value, kind):
        raise InputError(f"{name} is a {type(value).__name__}, expected a {kind.__name__}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _check(value: Any) -> None:
    """Refuse what would fail later and deeper: depth, infinite numbers, halves of characters."""
    level = [value]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise InputError("the body has a number that is too large")
        level = below
        if not level:
            return
    raise InputError(f"the body is nested more than {_DEPTH} levels deep")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"a text has half a character: {text[error.start]!r}") from error
