"""The server over real HTTP: answers, streams, errors, clients that leave, wrong bodies."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack import Stack
from ragstack.errors import ConfigError, DeadlineExceeded, EngineBusy, GrammarError, ModelError
from ragstack.generate.local import LocalGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Delta, ToolCall
from ragstack.types.hosts import is_loopback
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

Serve = Callable[..., Server]
Clients = Callable[[Server], httpx.Client]

CHAT = "/v1/chat/completions"


def asked(model: str, text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def events(response: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def test_a_completion_and_its_usage(serve: Serve, client: Clients, tiny: LocalGenerator) -> None:
    web = client(serve(tiny))
    body = asked(tiny.name, "the " * 60, max_tokens=8)
    first, again = (web.post(CHAT, json=body).raise_for_status().json() for _ in range(2))
    assert first["object"] == "chat.completion" and first["model"] == tiny.name
    choice = first["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] in ("stop", "length")
    assert choice["message"]["content"] == again["choices"][0]["message"]["content"]
    usage = again["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > usage["prompt_tokens"] // 2


def test_a_stream_says_the_same(serve: Serve, client: Clients, tiny: LocalGenerator) -> None:
    web = client(serve(tiny))
    body = asked(tiny.name, max_completion_tokens=12, seed=3, temperature=0.7)
    whole = web.post(CHAT, json=body).json()["choices"][0]["message"]["content"]
    more = {"stream": True, "stream_options": {"include_usage": True}}
    response = web.post(CHAT, json={**body, **more})
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, usage = events(response)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == whole
    assert deltas[0]["role"] == "assistant" and "role" not in deltas[1]
    assert chunks[-1]["choices"][0]["finish_reason"] in ("stop", "length")
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] <= 12
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_a_schema_is_kept_to(serve: Serve, client: Clients, tiny: LocalGenerator) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}, "kind": {"enum": ["cat", "dog"]}},
        "required": ["age", "kind"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "pet", "schema": schema}}
    web = client(serve(tiny))
    reply = web.post(CHAT, json=asked(tiny.name, response_format=form, max_tokens=64)).json()
    found = json.loads(reply["choices"][0]["message"]["content"])
    assert set(found) == {"age", "kind"} and found["kind"] in ("cat", "dog")
    loose = asked(tiny.name, response_format={"type": "json_object"}, max_tokens=64)
    text = web.post(CHAT, json=loose).raise_for_status().json()
    assert isinstance(json.loads(text["choices"][0]["message"]["content"]), dict)


def test_several_answers(serve: Serve, client: Clients, tiny: LocalGenerator) -> None:
    """Each is what it would be alone with its own seed; a stream says which one a piece is of."""
    web = client(serve(tiny))
    body = asked(tiny.name, n=3, seed=5, temperature=1.5, max_tokens=10)
    reply = web.post(CHAT, json=body).raise_for_status().json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    texts = [choice["message"]["content"] for choice in reply["choices"]]
    assert len(set(texts)) == 3
    alone = web.post(CHAT, json={**body, "n": 1, "seed": 6}).json()
    assert alone["choices"][0]["message"]["content"] == texts[1]
    used = reply["usage"]
    assert used["prompt_tokens"] == alone["usage"]["prompt_tokens"]
    assert alone["usage"]["completion_tokens"] < used["completion_tokens"] <= 30
    said = ["", "", ""]
    ends = []
    for chunk in events(web.post(CHAT, json={**body, "stream": True})):
        (choice,) = chunk["choices"]
        said[choice["index"]] += choice["delta"].get("content") or ""
        ends += [choice["index"]] if choice["finish_reason"] else []
    assert (said, ends) == (texts, [0, 1, 2])


def test_log_probabilities(serve: Serve, client: Clients, tiny: LocalGenerator) -> None:
    web = client(serve(tiny))
    body = asked(tiny.name, max_tokens=6, logprobs=True, top_logprobs=3)
    reply = web.post(CHAT, json=body).raise_for_status().json()
    told = reply["choices"][0]["logprobs"]["content"]
    assert len(told) == reply["usage"]["completion_tokens"]
    text = b"".join(bytes(one["bytes"]) for one in told).decode("utf-8", "replace")
    assert text == reply["choices"][0]["message"]["content"]
    for one in told:
        assert one["logprob"] <= 0.0
        assert len(one["top_logprobs"]) == 3
        assert one["top_logprobs"][0]["token"] == one["token"]  # the likeliest was drawn
    chunks = events(web.post(CHAT, json={**body, "stream": True}))
    streamed = [c["choices"][0]["logprobs"] for c in chunks if c["choices"][0]["logprobs"]]
    found = [one for part in streamed for one in part["content"]]
    assert [one["bytes"] for one in found] == [one["bytes"] for one in told]
    plain = web.post(CHAT, json={**body, "top_logprobs": 0}).json()["choices"][0]["logprobs"]
    assert [one["top_logprobs"] for one in plain["content"]] == [[]] * len(told)


def test_log_probabilities_of_a_generator_that_shows_no_tokens(
    serve: Serve, client: Clients
) -> None:
    script = ScriptedGenerator(["Yes."])
    reply = client(serve(script)).post(CHAT, json=asked(script.name, logprobs=True))
    assert reply.status_code == 400
    assert "shows no tokens" in reply.json()["error"]["message"]


def test_tool_calls_in_and_out(serve: Serve, client: Clients) -> None:
    call = Delta(tool_call=ToolCall("call_1", "weather", {"city": "Oslo"}))
    script = ScriptedGenerator([[call, Delta(finish="tool_calls")]] * 2)
    web = client(serve(script))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    body = asked(script.name, tools=[tool])
    choice = web.post(CHAT, json=body).raise_for_status().json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    assert choice["message"]["tool_calls"] == calls and choice["message"]["content"] is None
    body["messages"] += [
        choice["message"],
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
    ]
    chunks = events(web.post(CHAT, json={**body, "stream": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["tool_calls"] == [{"index": 0, **calls[0]}]
    seen = script.asked[-1].messages
    assert seen[1].tool_calls[0].arguments == {"city": "Oslo"} and seen[2].text == "rain"
    assert [spec.name for spec in script.asked[0].tools] == ["weather"]


def test_answers_from_a_collection(
    serve: Serve, client: Clients, tmp_path: Path, corpus_folder: Path
) -> None:
    script = ScriptedGenerator(lambda _: "Agnes Murray", scores=lambda _messages, _text: -0.1)
    with Stack.open(
        tmp_path / "kb", overrides={"embed": {"use": "hashing"}}, generator=script
    ) as stack:
        stack.ingest(corpus_folder)
    web = client(serve(script))
    assert [model["id"] for model in web.get("/v1/models").json()["data"]] == [
        script.name,
        "ragstack/default",
    ]
    body = asked("ragstack/default", "Who built the lighthouse?", ragstack={"style": "brief"})
    reply = web.post(CHAT, json=body).raise_for_status().json()
    extra = reply["ragstack"]
    assert "Agnes Murray" in reply["choices"][0]["message"]["content"] == extra["answer"]
    assert extra["citations"] and "Agnes Murray" in extra["citations"][0]["quote"]
    chunks = events(web.post(CHAT, json={**body, "stream": True}))
    assert chunks[-1]["ragstack"]["citations"] == extra["citations"]
    body["messages"] = [
        {"role": "user", "content": "Tell me of the lighthouse"},
        {"role": "assistant", "content": "It stands"},
        *body["messages"],
    ]
    web.post(CHAT, json=body).raise_for_status()
    assert any("It stands" in ask.messages[-1].text for ask in script.asked)
    refused = web.post(CHAT, json={**body, "response_format": {"type": "json_object"}})
    assert refused.status_code == 400
    assert web.post(CHAT, json=asked("ragstack/../x")).status_code == 404


def test_no_turns_of_a_conversation_are_kept_where_none_are_wanted(
    serve: Serve, client: Clients, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSTACK_ANSWER__HISTORY_TURNS", "0")
    script = ScriptedGenerator(lambda _: "Agnes Murray", scores=lambda _messages, _text: -0.1)
    body = asked("ragstack/default", "Who built the lighthouse?")
    body["messages"] = [
        {"role": "user", "content": "Tell me of the lighthouse"},
        {"role": "assistant", "content": "It stands"},
        *body["messages"],
    ]
    client(serve(script)).post(CHAT, json=body).raise_for_status()
    assert script.asked
    assert not any("It stands" in ask.messages[-1].text for ask in script.asked)


def test_a_client_that_leaves_frees_its_place(serve: Serve, tiny: LocalGenerator) -> None:
    server = serve(tiny)
    body = json.dumps(asked(tiny.name, max_tokens=1900, stream=True, logit_bias=_endless(tiny)))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    doors = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(4)]
    for count, door in enumerate(doors, 1):
        door.sendall(request)
        wait_for(lambda count=count: sum(_busy(tiny)) == count)  # type: ignore[misc]
    # Two at work, two in the queue: these have had no byte of an answer, and never come to work.
    assert _busy(tiny) == (2, 2)
    begun = _prompts(tiny)
    for door in doors[2:]:
        door.close()
    wait_for(lambda: _busy(tiny)[1] == 0)
    for door in doors[:2]:
        door.close()
    wait_for(lambda: _busy(tiny) == (0, 0), 2)
    assert _prompts(tiny) == begun


def _busy(tiny: LocalGenerator) -> tuple[int, int]:
    stats = tiny.stats()
    return stats.active, stats.waiting


def _prompts(tiny: LocalGenerator) -> int:
    """Return the prompt tokens of all that came to work so far."""
    totals = tiny.stats().totals
    return totals.read + totals.cached


def _endless(tiny: LocalGenerator) -> dict[str, float]:
    vocabulary = tiny._load().vocabulary
    return {str(token): -100.0 for token in vocabulary.ends}


def test_a_stop_ends_streams_with_a_word(serve: Serve, tiny: LocalGenerator) -> None:
    server = serve(tiny)
    body = asked(tiny.name, max_tokens=1900, stream=True, logit_bias=_endless(tiny))
    lines: list[str] = []

    def read() -> None:
        with httpx.stream("POST", server.url + CHAT, json=body, trust_env=False) as response:
            lines.extend(response.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: tiny.stats().active == 1)
    wait_for(lambda: len(lines) > 0)
    server.stop(0)
    reader.join(5)
    assert not reader.is_alive() and "given up" in [line for line in lines if line][-1]
    wait_for(lambda: tiny.stats().active == 0, 2)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (EngineBusy("full"), 429, "engine_busy"),
        (DeadlineExceeded("late"), 504, "deadline_exceeded"),
        (GrammarError("odd"), 400, "invalid_grammar"),
        (ModelError("/secret/path"), 500, "internal_error"),
        (RuntimeError("/secret/path"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_status(
    serve: Serve, client: Clients, error: Exception, status: int, code: str, stream: bool
) -> None:
    script = ScriptedGenerator([error])
    response = client(serve(script)).post(CHAT, json=asked(script.name, stream=stream))
    assert response.status_code == status
    assert response.json()["error"]["code"] == code and "secret" not in response.text
    assert ("retry-after" in response.headers) == (status == 429)


def test_a_deadline_and_a_window(serve: Serve, client: Clients, tiny: LocalGenerator) -> None:
    web = client(serve(tiny, deadline_s=0.05))
    late = web.post(CHAT, json=asked(tiny.name, max_tokens=1900, logit_bias=_endless(tiny)))
    assert late.status_code == 504
    long = web.post(CHAT, json=asked(tiny.name, max_tokens=4000))
    assert long.status_code == 400
    assert long.json()["error"]["code"] == "context_length_exceeded"


DEEP: dict[str, Any] = {}
for _ in range(40):
    DEEP = {"type": "object", "properties": {"a": DEEP}, "required": ["a"]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"model": "x", "seed": ' + b"9" * 5_000 + b"}",
        b'{"temperature": NaN}',
        {},
        {"model": 3},
        {"messages": []},
        {"messages": {}},
        {"messages": [3]},
        {"messages": [{"role": "king", "content": "x"}]},
        {"messages": [{"role": ["user"], "content": "x"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
        {"messages": [{"role": "user", "content": "\ud800"}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
                    ],
                }
            ]
        },
        {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
        {"messages": [{"role": "user", "content": "x", "tool_calls": 3}]},
        {"temperature": "hot"},
        {"temperature": -1},
        {"temperature": 1e999},
        {"temperature": True},
        {"top_p": 7},
        {"seed": 1.5},
        {"max_tokens": -1},
        {"max_tokens": "many"},
        {"n": 0},
        {"stop": [""]},
        {"stop": 7},
        {"stop": ["x"] * 99},
        {"stream": "yes"},
        {"stream_options": {"include_usage": True}},
        {"tools": {}},
        {"tools": [{"type": "function"}]},
        {"tools": [{"type": "function", "function": {"name": "a b", "parameters": {"type": 7}}}]},
        {"tool_choice": "required"},
        {"response_format": {"type": "poem"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "elf"}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": DEEP}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/x"}}}},
        {"logit_bias": {"x": 1}},
        {"logit_bias": {"99999999": 1}},
        {"logprobs": "yes"},
        {"logprobs": True, "top_logprobs": 21},
        {"top_logprobs": 3},
        {"n": 17},
        {"n": True},
        {"ragstack": {"colour": "red"}},
    ],
)
def test_wrong_bodies_are_refused(
    serve: Serve, client: Clients, tiny: LocalGenerator, body: Any
) -> None:
    web = client(serve(tiny))
    if isinstance(body, dict):
        body = json.dumps({**asked(tiny.name), **body} if body else body).encode()
    response = web.post(CHAT, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]
    # The next request on the same connection finds all well.
    web.post(CHAT, json=asked(tiny.name, max_tokens=1)).raise_for_status()


def test_http_itself_is_held_to(serve: Serve, client: Clients) -> None:
    script = ScriptedGenerator(["a", "b"])
    server = serve(script, max_body=1000)
    web = client(server)
    assert web.get("/nowhere").status_code == 404
    assert web.get(CHAT).status_code == 405
    assert web.request("OPTIONS", CHAT).status_code == 405
    assert web.head("/health").status_code == 405
    assert web.post(CHAT, json=asked(script.name, "x" * 200_000)).status_code == 413
    assert (
        web.post(
            CHAT, content=iter([b"{}"]), headers={"Content-Type": "application/json"}
        ).status_code
        == 411
    )
    plain = web.post(CHAT, content=b"{}", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    assert web.get("/health", headers={"Host": "evil.example"}).status_code == 403
    assert web.get("/health", headers={"Host": "[::1"}).status_code == 403
    assert web.get("//[x").status_code == 404
    assert web.get("/health?x=1").json() == {"status": "ok", "model": script.name}
    assert web.post(CHAT, json=asked("gpt-9")).json()["error"]["code"] == "model_not_found"
    for raw in (b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 70_000):
        with socket.create_connection(("127.0.0.1", server.server_port)) as door:
            door.sendall(raw)
            door.shutdown(socket.SHUT_WR)
            assert b"HTTP/1.1 " in door.recv(4096)


def test_a_key_is_asked_for(serve: Serve, client: Clients) -> None:
    server = serve(ScriptedGenerator(["a"]), api_key="sesame")
    web = client(server)
    assert web.get("/v1/models").status_code == 401
    assert web.get("/v1/models", headers={"Authorization": "Bearer x"}).status_code == 401
    found = web.get("/v1/models", headers={"Authorization": "Bearer sesame"})
    assert found.status_code == 200
    assert web.get("/health").status_code == 200


def test_it_is_not_open_to_others_without_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "", "example.org"):
        with pytest.raises(ConfigError, match="loopback"):
            Place(host).check()
        Place(host, api_key="k").check()
    assert is_loopback("::1") and is_loopback("localhost") and not is_loopback("localhost.evil")
    with pytest.raises(ConfigError, match="port"):
        Place(port=70_000).check()


def test_many_at_once(serve: Serve, tiny: LocalGenerator) -> None:
    server = serve(tiny)
    found: list[int] = []

    def ask(number: int) -> None:
        body = asked(tiny.name, f"Question {number}", max_tokens=6, user=f"u{number % 3}")
        found.append(
            httpx.post(server.url + CHAT, json=body, timeout=60, trust_env=False).status_code
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 12
    wait_for(lambda: tiny.stats().active == 0)
