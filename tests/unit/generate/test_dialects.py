"""Each preset against a server on loopback that plays its documented protocol back."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ragstack.errors import (
    ConfigError,
    ContextOverflow,
    InputError,
    RemoteError,
    UnsupportedCapability,
)
from ragstack.generate import remote
from ragstack.generate.presets import PRESETS, is_near
from ragstack.generate.remote import RemoteGenerator
from ragstack.types import (
    Delta,
    Dry,
    JsonSchema,
    Message,
    Mirostat,
    Money,
    Sampling,
    TokenLogprob,
    ToolCall,
    ToolSpec,
)

Golden = Callable[[str], bytes]

_MESSAGES = (Message("system", "Be brief."), Message("user", "Who pays?"))
_TOOL = ToolSpec("search", "Search.", {"type": "object", "properties": {}})
_SEARCH = ("search", {"q": "toiture"})
_CLOCK = ("clock", {})
# Preset, transcript, text, reasoning, calls, finish, usage without its seconds.
_PLAYED = (
    ("openai", "openai_text.sse", "Le château d’eau 🎉.", "", [], "stop", (31, 16, 9)),
    ("azure", "azure_text.sse", "Oui.", "", [], "stop", (20, 0, 3)),
    (
        "anthropic",
        "anthropic_text.sse",
        "Le château d’eau 🎉.",
        "Let me see.",
        [],
        "stop",
        (117, 100, 15),
    ),
    (
        "anthropic",
        "anthropic_tools.sse",
        "I look it up.",
        "",
        [_SEARCH, _CLOCK],
        "tool_calls",
        (472, 0, 89),
    ),
    (
        "mistral",
        "mistral_thinking_tools.sse",
        "I look.",
        "Let me see.",
        [_SEARCH],
        "tool_calls",
        (91, 0, 40),
    ),
    ("google", "google_tools.sse", "", "", [_SEARCH, _CLOCK], "tool_calls", (60, 0, 21)),
    ("ollama", "ollama_thinking.sse", "Oui.", "hm", [], "length", None),
    ("vllm", "vllm_reasoning.sse", "Yes.", "Let me see.", [], "stop", None),
    ("llama-server", "llama_server_text.sse", "Oui.", "hm", [], "length", (40, 36, 4)),
    ("lm-studio", "lm_studio_tools.sse", "", "", [_SEARCH], "tool_calls", (50, 0, 12)),
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)


def _make(server: Any, preset: str, **more: Any) -> RemoteGenerator:
    options = {"url": server.url, "preset": preset, "model": "m", "key": {"env": "MY_KEY"}}
    return RemoteGenerator(**{**options, **more})


def _ask(server: Any, preset: str, messages: Any = _MESSAGES, **more: Any) -> list[Delta]:
    sampling = more.pop("sampling", Sampling(max_tokens=50))
    made = {name: more.pop(name) for name in ("prices", "omit") if name in more}
    with _make(server, preset, retries=more.pop("retries", 0), **made) as generator:
        return list(generator.stream(messages, sampling=sampling, **more))


def test_every_preset_is_played() -> None:
    assert {row[0] for row in _PLAYED} == set(PRESETS)


@pytest.mark.parametrize(
    ("preset", "name", "text", "thought", "calls", "finish", "usage"),
    _PLAYED,
    ids=[f"{row[0]}-{row[1]}" for row in _PLAYED],
)
def test_a_recorded_reply(
    chat_server: Any,
    golden: Golden,
    preset: str,
    name: str,
    text: str,
    thought: str,
    calls: list[Any],
    finish: str,
    usage: tuple[int, int, int] | None,
) -> None:
    chat_server.play(golden(name), Content_Type="text/event-stream; charset=utf-8")
    *rest, last = _ask(chat_server, preset, tools=[_TOOL])
    assert "".join(delta.text for delta in rest) == text
    assert "".join(delta.reasoning for delta in rest) == thought
    called = [delta.tool_call for delta in rest if delta.tool_call]
    assert [(call.name, call.arguments) for call in called] == calls
    assert len({call.id for call in called}) == len(called)
    assert last.finish == finish
    assert last.usage is not None
    if usage is not None:
        found = last.usage
        assert (found.prompt_tokens, found.cached_tokens, found.answer_tokens) == usage


@pytest.mark.parametrize(
    ("preset", "header"),
    [("azure", "api-key"), ("anthropic", "x-api-key"), ("mistral", "Authorization")],
)
def test_where_the_key_stands(chat_server: Any, golden: Golden, preset: str, header: str) -> None:
    body = "anthropic_text.sse" if preset == "anthropic" else "openai_text.sse"
    chat_server.play(golden(body))
    _ask(chat_server, preset)
    sent = {name.lower(): value for name, value in chat_server.headers[0].items()}
    bearer = "Bearer " if header == "Authorization" else ""
    assert sent[header.lower()] == f"{bearer}s3cret"
    assert sum("s3cret" in value for value in sent.values()) == 1
    assert sent.get("anthropic-version") == ("2023-06-01" if preset == "anthropic" else None)


@pytest.mark.parametrize(
    ("preset", "has", "has_not"),
    [
        (
            "openai",
            {"max_completion_tokens": 50, "seed": 3, "stream_options": {"include_usage": True}},
            {"max_tokens", "top_k", "min_p"},
        ),
        ("azure", {"max_completion_tokens": 50}, {"max_tokens"}),
        (
            "mistral",
            {"max_tokens": 50, "random_seed": 3},
            {"seed", "top_k", "stream_options", "min_p"},
        ),
        ("google", {"max_tokens": 50}, {"seed", "top_k", "min_p"}),
        ("vllm", {"max_tokens": 50, "top_k": 40, "min_p": 0.1, "seed": 3}, set()),
        ("llama-server", {"top_k": 40, "min_p": 0.1}, {"random_seed"}),
        ("lm-studio", {"top_k": 40}, {"min_p"}),
        ("ollama", {"seed": 3}, {"top_k", "min_p"}),
    ],
)
def test_names_of_settings(
    chat_server: Any, golden: Golden, preset: str, has: dict[str, Any], has_not: set[str]
) -> None:
    chat_server.play(golden("openai_text.sse"))
    # What a service has no name for is left out at the user's word alone.
    named = {"top_k": 40, "min_p": 0.1}
    cuts: dict[str, Any] = {name: value for name, value in named.items() if name in has}
    sampling = Sampling(max_tokens=50, temperature=0.5, seed=3, **cuts)
    _ask(chat_server, preset, sampling=sampling)
    (request,) = chat_server.requests
    assert has.items() <= request.items()
    assert not has_not & set(request)


def test_anthropic_s_request(chat_server: Any, golden: Golden) -> None:
    chat_server.play(golden("anthropic_text.sse"))
    messages = [
        Message("system", "Be brief."),
        Message("user", "Who?"),
        Message(
            "assistant", "", (ToolCall("c.1", "search", {"q": "é"}), ToolCall("2", "clock", {}))
        ),
        Message("tool", "The Trust.", tool_call_id="c.1"),
        Message("tool", "noon", tool_call_id="2"),
        Message("user", "So?"),
    ]
    _ask(
        chat_server,
        "anthropic",
        messages,
        sampling=Sampling(max_tokens=7, top_p=0.9, stop=("\n", "END")),
        tools=[_TOOL],
        grammar=JsonSchema({"type": "object"}),
    )
    assert chat_server.requests[0] == {
        "model": "m",
        "max_tokens": 7,
        "temperature": 0.0,
        "stream": True,
        "system": "Be brief.",
        "stop_sequences": ["END"],  # blank ones are refused, and watched for here
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Who?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "c_1", "name": "search", "input": {"q": "é"}},
                    {"type": "tool_use", "id": "2", "name": "clock", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c_1", "content": "The Trust."},
                    {"type": "tool_result", "tool_use_id": "2", "content": "noon"},
                    {"type": "text", "text": "So?"},
                ],
            },
        ],
        "tools": [
            {
                "name": "search",
                "description": "Search.",
                "input_schema": {"type": "object", "properties": {}},
            }
        ],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    }
    with pytest.raises(InputError, match="0 to 1"):
        _ask(chat_server, "anthropic", sampling=Sampling(temperature=1.5))
    with pytest.raises(InputError, match="nothing to answer"):
        _ask(chat_server, "anthropic", messages[:1])


def test_anthropic_breaks_off_half_way(chat_server: Any, golden: Golden) -> None:
    chat_server.play(golden("anthropic_overloaded.sse"))
    shown = []
    with (
        _make(chat_server, "anthropic", retries=3) as generator,
        pytest.raises(RemoteError, match=r"half-way.*Overloaded") as caught,
    ):
        for delta in generator.stream(_MESSAGES, sampling=Sampling(max_tokens=50)):
            shown.append(delta.text)
    assert shown == ["Le château"]
    assert caught.value.retryable
    assert len(chat_server.requests) == 1  # never begun anew


@pytest.mark.parametrize(
    ("preset", "status", "body", "error", "said", "retryable"),
    [
        (
            "anthropic",
            529,
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            RemoteError,
            "529: Overloaded",
            True,
        ),
        (
            "anthropic",
            400,
            b'{"type":"error","error":{"type":"invalid_request_error",'
            b'"message":"prompt is too long: 208310 tokens > 200000 maximum"}}',
            ContextOverflow,
            "too long",
            False,
        ),
        (
            "anthropic",
            401,
            b'{"type":"error","error":{"type":"authentication_error","message":"bad s3cret"}}',
            RemoteError,
            r"401: bad \*\*\*",
            False,
        ),
        (
            "openai",
            429,
            b'{"error":{"message":"Rate limit","type":"requests","code":"rate_limit_exceeded"}}',
            RemoteError,
            "429: Rate limit",
            True,
        ),
        (
            "google",
            400,
            b'[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]',
            RemoteError,
            "API key not valid",
            False,
        ),
        (
            "mistral",
            422,
            b'{"object":"error","message":{"detail":[{"type":"extra_forbidden",'
            b'"loc":["body","odd"]}]},"type":"invalid_request_error"}',
            RemoteError,
            "extra_forbidden",
            False,
        ),
        ("mistral", 401, b'{"detail":"Unauthorized"}', RemoteError, "Unauthorized", False),
        (
            "vllm",
            404,
            b'{"object":"error","message":"The model `m` does not exist.","code":404}',
            RemoteError,
            "does not exist",
            False,
        ),
        (
            "llama-server",
            400,
            b'{"error":{"code":400,"message":"the request exceeds the available context size",'
            b'"type":"exceed_context_size_error","n_prompt_tokens":99,"n_ctx":64}}',
            ContextOverflow,
            "exceeds",
            False,
        ),
        ("ollama", 200, b'{"error":"model not found"}', RemoteError, "stream of events", False),
        ("lm-studio", 500, b"<html>oops</html>", RemoteError, "500: <html>", True),
    ],
)
def test_errors_of_each_dialect(
    chat_server: Any,
    preset: str,
    status: int,
    body: bytes,
    error: type[Exception],
    said: str,
    retryable: bool,
) -> None:
    chat_server.play(body, status=status, Content_Type="application/json")
    with pytest.raises(error, match=said) as caught:
        _ask(chat_server, preset)
    assert caught.value.retryable == retryable  # type: ignore[attr-defined]
    assert "s3cret" not in str(caught.value)


def test_a_setting_the_model_does_not_take_is_given_up(
    chat_server: Any, golden: Golden, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = b'{"error":{"message":"`temperature` is deprecated for this model."}}'
    for _ in range(2):
        chat_server.play(golden("anthropic_text.sse"))
    chat_server.answers.insert(0, (400, {}, refusal))
    with _make(chat_server, "anthropic", retries=0) as generator:
        for _ in range(2):
            assert list(generator.stream(_MESSAGES, sampling=Sampling(max_tokens=50)))
    assert ["temperature" in request for request in chat_server.requests] == [True, False, False]
    assert "does not take 'temperature'" in caplog.text


def test_a_value_out_of_range_is_an_error(chat_server: Any) -> None:
    chat_server.play(b'{"error":{"message":"temperature: range is 0 to 2"}}', status=400)
    with pytest.raises(RemoteError, match="range is 0 to 2"):
        _ask(chat_server, "openai", sampling=Sampling(temperature=3.0))
    assert len(chat_server.requests) == 1


def test_settings_can_be_left_out(chat_server: Any, golden: Golden) -> None:
    chat_server.play(golden("openai_text.sse"))
    with _make(chat_server, "openai", omit=["temperature", "top_p"]) as generator:
        list(generator.stream(_MESSAGES, sampling=Sampling(max_tokens=50)))
    assert not {"temperature", "top_p"} & set(chat_server.requests[0])


def test_mistral_s_short_ids(chat_server: Any, golden: Golden) -> None:
    chat_server.play(golden("openai_text.sse"))
    messages = [
        Message("user", "Who?"),
        Message("assistant", "", (ToolCall("call_abc", "a", {}), ToolCall("D681PevKs", "b", {}))),
        Message("tool", "x", tool_call_id="call_abc"),
        Message("tool", "y", tool_call_id="D681PevKs"),
    ]
    _ask(chat_server, "mistral", messages)
    sent = chat_server.requests[0]["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert ids == [sent[2]["tool_call_id"], sent[3]["tool_call_id"]]
    assert ids[1] == "D681PevKs"
    assert len(ids[0]) == 9
    assert ids[0].isalnum()


def test_google_s_signatures_go_back(chat_server: Any, golden: Golden) -> None:
    chat_server.play(golden("google_tools.sse"))
    chat_server.play(golden("openai_text.sse"))
    with _make(chat_server, "google") as generator:
        sampling = Sampling(max_tokens=50)
        deltas = list(generator.stream(_MESSAGES, sampling=sampling, tools=[_TOOL]))
        calls = tuple(delta.tool_call for delta in deltas if delta.tool_call)
        messages = [
            *_MESSAGES,
            Message("assistant", "", calls),
            *(Message("tool", "x", tool_call_id=call.id) for call in calls),
            Message("assistant", "", (ToolCall("another-s", "search", {}),)),
            Message("tool", "y", tool_call_id="another-s"),
        ]
        list(generator.stream(messages, sampling=sampling, tools=[_TOOL]))
    sent = chat_server.requests[1]["messages"]
    signed = [call.get("extra_content") for m in sent for call in m.get("tool_calls", ())]
    assert signed == [
        {"google": {"thought_signature": "c2lnbmF0dXJl"}},
        None,
        {"google": {"thought_signature": "skip_thought_signature_validator"}},
    ]


def test_a_key_goes_to_its_own_service_alone(
    monkeypatch: pytest.MonkeyPatch, chat_server: Any, golden: Golden
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    chat_server.play(golden("openai_text.sse"))
    with RemoteGenerator(url=chat_server.url, preset="openai", model="m") as generator:
        list(generator.stream(_MESSAGES, sampling=Sampling(max_tokens=5)))
    assert "s3cret" not in str(chat_server.headers)
    with pytest.raises(ConfigError, match="one of the addresses"):
        RemoteGenerator(
            url=[PRESETS["openai"].url, "https://proxy.example/v1"], preset="openai", model="m"
        )
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="'OPENAI_API_KEY' is not set"):
        RemoteGenerator(preset="openai", model="m")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret\nX-Evil: 1")
    with pytest.raises(ConfigError) as caught:
        RemoteGenerator(preset="openai", model="m")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "opnai"},
        {"preset": "azure"},
        {"url": ""},
        {"url": "http://"},
        {"url": "http://["},
        {"url": "http://me:pw@host/v1"},
        {"url": ["http://a/v1", "http://a/v1"]},
        {"url": [3]},
        {"url": "http://a/v1", "model": ""},
        {"url": "http://a/v1", "omit": "temperature"},
        {"url": "http://a/v1", "prices": [{"model": "m"}]},
        {"url": "http://a/v1", "prices": [{"model": "m", "input": -1, "output": 1}]},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RemoteGenerator(**{"model": "m", **options})


def test_what_is_this_machine() -> None:
    assert all(map(is_near, ("http://localhost:1/v1", "http://127.0.0.9/v1", "http://[::1]/")))
    assert not any(
        map(is_near, ("http://127.evil.example/", "http://10.0.0.1/", "http://localhost.x/"))
    )


_WRITTEN_BY_OPENAI = """data: {"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}

data: {"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":50,"prompt_tokens_details":
data: {"cached_tokens":100,"cache_write_tokens":400}}}

data: [DONE]

"""
_WRITTEN_BY_ANTHROPIC = """data: {"type":"message_start","message":{"usage":{"input_tokens":500,
data: "cache_read_input_tokens":100,"cache_creation_input_tokens":400,"output_tokens":1}}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Yes."}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":50}}

data: {"type":"message_stop"}

"""


@pytest.mark.parametrize(
    ("preset", "played"), [("openai", _WRITTEN_BY_OPENAI), ("anthropic", _WRITTEN_BY_ANTHROPIC)]
)
def test_what_a_cache_was_given_is_counted_and_paid(
    chat_server: Any, preset: str, played: str
) -> None:
    chat_server.play(played.encode())
    row = {"model": "m", "input": 1, "cached": 0.1, "written": 1.25, "output": 5}
    usage = _ask(chat_server, preset, prices=[row])[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.written_tokens) == (1000, 100, 400)
    # 500 fresh at 1, 100 cached at 0.10, 400 written at 1.25, 50 out at 5 dollars a million.
    assert usage.cost == Money(Decimal("0.00126"), "USD")


def test_an_answer_without_a_price_or_a_count_costs_nobody_knows_what(
    chat_server: Any, golden: Golden
) -> None:
    row = {"model": "m", "input": 1, "output": 5}
    chat_server.play(golden("openai_text.sse"))
    assert _ask(chat_server, "openai")[-1].usage.cost is None  # type: ignore[union-attr]
    chat_server.play(b'data: {"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}\n\n')
    usage = _ask(chat_server, "openai", prices=[row])[-1].usage
    assert usage is not None
    assert usage.answer_tokens
    assert usage.cost is None


def test_a_private_message_goes_nowhere_else(chat_server: Any, golden: Golden) -> None:
    messages = (_MESSAGES[0], Message("user", "My number is 12.", private=True))
    far = {"url": "http://example.invalid/v1", "model": "m"}
    with RemoteGenerator(**far) as generator, pytest.raises(UnsupportedCapability) as caught:
        generator.stream(messages, sampling=Sampling())
    assert "message 2 is marked private" in str(caught.value)
    assert "allow_private" in caught.value.hint
    with RemoteGenerator(**far, allow_private=True) as generator:
        generator.stream(messages, sampling=Sampling())  # nothing is sent before it is read
    chat_server.play(golden("openai_text.sse"))  # on this machine
    assert _ask(chat_server, "openai", messages)[-1].finish == "stop"


_TUNED = Sampling(
    temperature=0.5,
    repetition_penalty=1.1,
    presence_penalty=0.2,
    frequency_penalty=0.3,
    typical_p=0.9,
    dry=Dry(window=0, breakers=("\n",)),
    logit_bias={7: 1.5, 9: float("-inf")},
    logprobs=2,
)


def test_every_setting_has_a_field_where_the_server_is_llama_cpp(
    chat_server: Any, golden: Golden
) -> None:
    chat_server.play(golden("llama_server_text.sse"))
    _ask(chat_server, "llama-server", sampling=_TUNED)
    (request,) = chat_server.requests
    expected = {
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "typical_p": 0.9,
        "dry_multiplier": 0.8,
        "dry_base": 1.75,
        "dry_allowed_length": 2,
        "dry_penalty_last_n": -1,
        "dry_sequence_breakers": ["\n"],
        "logit_bias": {"7": 1.5, "9": -100.0},
        "logprobs": True,
        "top_logprobs": 2,
    }
    assert expected.items() <= request.items()


def test_mirostat_has_three_fields(chat_server: Any, golden: Golden) -> None:
    chat_server.play(golden("llama_server_text.sse"))
    sampling = Sampling(temperature=0.5, mirostat=Mirostat(tau=4.0))
    _ask(chat_server, "llama-server", sampling=sampling)
    (request,) = chat_server.requests
    assert (request["mirostat"], request["mirostat_tau"], request["mirostat_eta"]) == (2, 4.0, 0.1)


def test_what_would_change_nothing_is_not_refused(chat_server: Any, golden: Golden) -> None:
    chat_server.play(golden("openai_text.sse"))
    _ask(chat_server, "openai", sampling=Sampling(top_k=5, min_p=0.1, typical_p=0.9))
    assert "top_k" not in chat_server.requests[0]


@pytest.mark.parametrize(
    ("preset", "sampling", "name"),
    [
        ("openai", Sampling(temperature=0.5, top_k=5), "top_k"),
        ("openai", Sampling(dry=Dry()), "dry"),
        ("openai", Sampling(logprobs=1), "logprobs"),
        ("anthropic", Sampling(temperature=0.5, min_p=0.1), "min_p"),
        ("anthropic", Sampling(presence_penalty=0.1), "presence_penalty"),
        ("mistral", Sampling(logit_bias={1: 1.0}), "logit_bias"),
        ("google", Sampling(repetition_penalty=1.1), "repetition_penalty"),
        ("ollama", Sampling(temperature=0.5, typical_p=0.5), "typical_p"),
        ("vllm", Sampling(temperature=0.5, mirostat=Mirostat()), "mirostat"),
        ("llama-server", Sampling(beams=2), "beams"),
        ("", Sampling(reasoning_tokens=5), "reasoning_tokens"),
    ],
)
def test_a_setting_that_a_service_lacks_is_refused(
    chat_server: Any, golden: Golden, preset: str, sampling: Sampling, name: str
) -> None:
    with pytest.raises(UnsupportedCapability, match=f"no setting for {name}") as caught:
        _ask(chat_server, preset, sampling=sampling)
    assert f"omit = ['{name}']" in caught.value.hint
    assert not chat_server.requests
    played = "anthropic_text.sse" if preset == "anthropic" else "openai_text.sse"
    chat_server.play(golden(played))
    assert _ask(chat_server, preset, sampling=sampling, omit=[name])[-1].finish == "stop"


def test_vllm_looks_back_over_all_for_its_repetition_penalty(
    chat_server: Any, golden: Golden
) -> None:
    with pytest.raises(UnsupportedCapability, match="looks back over all"):
        _ask(chat_server, "vllm", sampling=Sampling(repetition_penalty=1.1))
    chat_server.play(golden("vllm_reasoning.sse"))
    _ask(chat_server, "vllm", sampling=Sampling(repetition_penalty=1.1, repetition_window=0))
    assert chat_server.requests[0]["repetition_penalty"] == 1.1


@pytest.mark.parametrize(
    ("preset", "token", "other"),
    [
        ("llama-server", {"id": 11, "token": "Yes"}, {"id": 12, "token": "No"}),
        ("vllm", {"token": "token_id:11"}, {"token": "token_id:12"}),
    ],
)
def test_log_probabilities_come_by_the_ids_of_tokens(
    chat_server: Any, preset: str, token: dict[str, Any], other: dict[str, Any]
) -> None:
    likely = [{**token, "logprob": -0.1}, {**other, "logprob": -2.5}]
    content = [{**token, "logprob": -0.1, "top_logprobs": likely}]
    choice = {"delta": {"content": "Yes"}, "logprobs": {"content": content}}
    choice["finish_reason"] = "stop"
    chat_server.play(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    found = _ask(chat_server, preset, sampling=Sampling(logprobs=2))
    told = [logprob for delta in found for logprob in delta.logprobs]
    assert told == [TokenLogprob(11, -0.1, ((11, -0.1), (12, -2.5)))]
