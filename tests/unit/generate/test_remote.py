"""The remote generator against a server on loopback that plays recorded replies back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ragstack.errors import (
    ConfigError,
    ContextOverflow,
    InputError,
    RemoteError,
    UnsupportedCapability,
)
from ragstack.generate import remote
from ragstack.generate.remote import RemoteGenerator
from ragstack.types import (
    Delta,
    JsonSchema,
    Message,
    Regex,
    Sampling,
    ToolCall,
    ToolSpec,
    Usage,
)

_MESSAGES = (Message("system", "Be brief."), Message("user", "Who pays?"))
_TOOL = ToolSpec("search", "Search.", {"type": "object", "properties": {}})


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Keep the waits instead of waiting."""
    waits: list[float] = []
    monkeypatch.setattr(remote.time, "sleep", waits.append)
    monkeypatch.setattr(remote.random, "uniform", lambda low, high: high)
    return waits


def _ask(server: Any, retries: int = 3, **more: Any) -> list[Delta]:
    sampling = more.pop("sampling", Sampling(max_tokens=50))
    with RemoteGenerator(url=server.url, model="m", timeout_s=5, retries=retries) as generator:
        return list(generator.stream(_MESSAGES, sampling=sampling, **more))


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_a_recorded_reply(chat_server: Any, golden: Callable[[str], bytes]) -> None:
    body = golden("openai_text.sse")
    half = body.index("🎉".encode()) + 2  # in the middle of a character
    chat_server.play(body[:half] + b"|cut|" + body[half:])
    deltas = _ask(chat_server)
    assert _text(deltas) == "Le château d’eau 🎉."
    usage = deltas[-1].usage
    assert usage is not None
    assert usage == Usage(31, 16, 9, usage.seconds)
    assert deltas[-1].finish == "stop"


def test_the_request_is_openai_s(chat_server: Any, golden: Callable[[str], bytes]) -> None:
    chat_server.play(golden("openai_text.sse"))
    _ask(chat_server, sampling=Sampling(max_tokens=7, seed=3, stop=("\n",)))
    (request,) = chat_server.requests
    assert request == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Who pays?"},
        ],
        "max_tokens": 7,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["\n"],
    }


def test_tool_calls_come_in_pieces(chat_server: Any, golden: Callable[[str], bytes]) -> None:
    chat_server.play(golden("openai_tools.sse"))
    deltas = _ask(chat_server, tools=[_TOOL])
    assert [delta.tool_call for delta in deltas if delta.tool_call] == [
        ToolCall("call_abc", "search", {"q": "toiture"}),
        ToolCall("call_def", "clock", {}),
    ]
    assert deltas[-1].finish == "tool_calls"
    function = chat_server.requests[0]["tools"][0]["function"]
    assert function["name"] == "search"
    assert function["parameters"] == {"type": "object", "properties": {}}


def test_calls_and_results_go_back(chat_server: Any, golden: Callable[[str], bytes]) -> None:
    chat_server.play(golden("openai_text.sse"))
    messages = [
        Message("user", "Who?"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "search", {"q": "é"}),)),
        Message("tool", "The Trust.", tool_call_id="c1"),
    ]
    with RemoteGenerator(url=chat_server.url, model="m") as generator:
        list(generator.stream(messages, sampling=Sampling(max_tokens=5)))
    sent = chat_server.requests[0]["messages"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "search", "arguments": '{"q": "é"}'}
    assert sent[2] == {"role": "tool", "content": "The Trust.", "tool_call_id": "c1"}


def test_reasoning_of_two_dialects(chat_server: Any, golden: Callable[[str], bytes]) -> None:
    chat_server.play(golden("vllm_reasoning.sse"))
    deltas = _ask(chat_server)
    assert "".join(delta.reasoning for delta in deltas) == "Let me see."
    assert _text(deltas) == "Yes."
    chat_server.play(golden("ollama_thinking.sse"))
    deltas = _ask(chat_server)
    assert "".join(delta.reasoning for delta in deltas) == "hm"
    assert _text(deltas) == "Oui."
    assert deltas[-1].finish == "length"
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.prompt_tokens > 0  # estimated: this server counts none


def test_a_stop_string_over_two_events(chat_server: Any, golden: Callable[[str], bytes]) -> None:
    chat_server.play(golden("openai_text.sse"))
    deltas = _ask(chat_server, sampling=Sampling(max_tokens=50, stop=("eau d’", "u d’e")))
    assert _text(deltas) == "Le chât"
    assert deltas[-1].finish == "stop"


def test_a_schema_is_passed_on(chat_server: Any, golden: Callable[[str], bytes]) -> None:
    chat_server.play(golden("openai_text.sse"))
    _ask(chat_server, grammar=JsonSchema({"type": "object"}))
    form = chat_server.requests[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"] == {"name": "reply", "schema": {"type": "object"}, "strict": True}
    with pytest.raises(UnsupportedCapability, match="Regex"):
        _ask(chat_server, grammar=Regex("a"))


def test_the_key_comes_from_the_environment(
    chat_server: Any, golden: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    chat_server.play(golden("openai_text.sse"))
    with RemoteGenerator(url=chat_server.url + "/", model="m", key={"env": "MY_KEY"}) as generator:
        list(generator.stream(_MESSAGES, sampling=Sampling(max_tokens=5)))
        assert "s3cret" not in repr(vars(generator))
    assert chat_server.headers[0]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_what_may_pass_is_asked_again(
    chat_server: Any, golden: Callable[[str], bytes], no_waiting: list[float], status: int
) -> None:
    chat_server.play(b'{"error": {"message": "busy"}}', status=status)
    chat_server.play(b"busy", status=status, Retry_After="7")
    chat_server.play(golden("openai_text.sse"))
    assert _text(_ask(chat_server)) == "Le château d’eau 🎉."
    assert no_waiting == [0.5, 7.0]


def test_it_gives_up_in_the_end(chat_server: Any, no_waiting: list[float]) -> None:
    for _ in range(4):
        chat_server.play(b"busy", status=503)
    with pytest.raises(RemoteError, match="answered 503: busy") as caught:
        _ask(chat_server)
    assert caught.value.retryable
    assert no_waiting == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (401, b'{"error": {"message": "bad key"}}', RemoteError, "bad key"),
        (404, b'{"error": "model not found"}', RemoteError, "model not found"),
        (400, b'{"error": {"message": "no such field"}}', RemoteError, "no such field"),
        (400, b'{"error": {"code": "context_length_exceeded", "message": "too long"}}',
         ContextOverflow, "too long"),
        (418, b"\xff\xfe", RemoteError, "answered 418"),
        (422, b"", RemoteError, "no reason given"),
    ],
)  # fmt: skip
def test_what_will_not_pass_is_said_at_once(
    chat_server: Any, status: int, body: bytes, error: type[Exception], said: str
) -> None:
    chat_server.play(body, status=status)
    with pytest.raises(error, match=said) as caught:
        _ask(chat_server)
    assert not getattr(caught.value, "retryable")  # noqa: B009
    assert len(chat_server.requests) == 1


def _event(text: str) -> bytes:
    return b"data: " + text.encode() + b"\n\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (_event("not json"), "expected JSON"),
        (_event("[1]"), "JSON object"),
        (_event('{"error": {"message": "out of memory"}}'), "out of memory"),
        (_event('{"choices": [{"delta": {"content": "a"}}]}'), "in the middle"),
        (_event('{"choices": [{"delta": {"content": 3}}]}'), "cannot be read"),
        (_event('{"choices": 3}'), "cannot be read"),
        (
            _event('{"choices": [{"delta": {}, "finish_reason": "content_filter"}]}'),
            "content_filter",
        ),
        (b"", "in the middle"),
        (_event('{"choices": [{"delta": {"content": "a"}}]}') + b"|drop|", "fell silent"),
    ],
)
def test_a_stream_that_goes_wrong_is_an_error(chat_server: Any, body: bytes, said: str) -> None:
    chat_server.play(body)
    with pytest.raises(RemoteError, match=said):
        _ask(chat_server, retries=0)


def test_arguments_that_are_no_json_are_an_error(chat_server: Any) -> None:
    call = '{"index": 0, "function": {"name": "search", "arguments": "{oops"}}'
    chat_server.play(
        _event('{"choices": [{"delta": {"tool_calls": [' + call + "]}}]}")
        + _event('{"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}')
    )
    with pytest.raises(RemoteError, match="a JSON object"):
        _ask(chat_server, retries=0, tools=[_TOOL])


def test_a_server_that_is_not_there(no_waiting: list[float]) -> None:
    generator = RemoteGenerator(url="http://127.0.0.1:9", model="m", retries=1)
    with pytest.raises(RemoteError, match="cannot be reached") as caught:
        list(generator.stream(_MESSAGES, sampling=Sampling(max_tokens=5)))
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, httpx.HTTPError)
    assert len(no_waiting) == 1
    generator.close()


def test_estimates_are_on_the_high_side() -> None:
    generator = RemoteGenerator(url="http://127.0.0.1:9", model="m")
    assert generator.count_tokens([Message("user", "日本語の文章です。")]) >= 9
    assert generator.count_tokens([Message("user", "a" * 300)]) >= 100
    call = ToolCall("1", "search", {"q": "a" * 300})
    assert generator.count_tokens([Message("assistant", "", (call,))]) >= 100
    assert generator.count_tokens([]) == 0
    wide = ToolSpec("search", "a" * 30_000, {})
    with pytest.raises(ContextOverflow):
        generator.stream(_MESSAGES, sampling=Sampling(max_tokens=5), tools=[wide])
    generator.close()


@pytest.mark.parametrize(
    "options",
    [
        {"url": "localhost:8000", "model": "m"},
        {"url": "http://x", "model": "m", "timeout_s": 0},
        {"url": "http://x", "model": "m", "context_size": 0},
        {"url": "http://x", "model": "m", "retries": -1},
        {"url": "http://x", "model": "m", "key": "written out"},
        {"url": "http://x", "model": "m", "key": {"env": "NOT_SET_ANYWHERE"}},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, InputError)):
        RemoteGenerator(**options)
