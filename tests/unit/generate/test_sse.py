"""What a stranger may send: each byte of it gives events or an error of ours."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack.errors import InputError, RemoteError
from ragstack.generate import anthropic, sse, wire
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.reply import Reply
from ragstack.types import Message, Sampling

_ASKED = [Message("user", "?")]
# Words of both dialects, so that what is drawn gets past the first look.
_WORDS = st.sampled_from(
    (
        *("choices", "delta", "content", "tool_calls", "function", "arguments", "name", "index"),
        *("usage", "prompt_tokens", "prompt_tokens_details", "finish_reason", "stop", "type"),
        *(
            "message_start",
            "message",
            "content_block_start",
            "content_block",
            "content_block_delta",
        ),
        *("text_delta", "text", "thinking_delta", "input_json_delta", "partial_json", "tool_use"),
        *("message_delta", "stop_reason", "end_turn", "message_stop", "error", "id", "thinking"),
        *("timings", "cache_n", "input_tokens", "reasoning", "refusal", "<think>", "\ud800"),
    )
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=12,
)
_EVENTS = st.lists(
    st.dictionaries(_WORDS, _JSON, max_size=4)
    | st.fixed_dictionaries({"choices": st.lists(_JSON, min_size=1, max_size=1)})
    | st.fixed_dictionaries(
        {"choices": st.tuples(st.fixed_dictionaries({"delta": _JSON, "finish_reason": _JSON}))}
    )
    | st.fixed_dictionaries({"type": _WORDS, "delta": _JSON, "index": _JSON, "usage": _JSON})
    | st.fixed_dictionaries({"type": _WORDS, "content_block": _JSON, "message": _JSON}),
    max_size=4,
)


def _events(*chunks: bytes) -> list[dict[str, Any]]:
    return list(sse.events(chunks))


def test_events_in_any_pieces() -> None:
    body = ': hello\r\n\r\nevent: x\r\ndata: {"a": "é"}\r\n\r\ndata:{"b":1}\n\ndata: [DONE]\n\nx'
    whole = body.encode()
    for size in (1, 2, 3, 7, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert list(sse.events(pieces)) == [{"a": "é"}, {"b": 1}]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'data: {"a": 1}\ndata: {"b": 2}\n', [{"a": 1}, {"b": 2}]),  # no empty line between
        (b'data: {\ndata: "a": 1\ndata: }\n\n', [{"a": 1}]),  # one event on three lines
        (b'data: {"a": 1}', [{"a": 1}]),  # no end of the line
        (b"data:\n\ndata: \n\n: ping\n\nretry: 3\nid: 4\n\nodd\n", []),
        (b"", []),
    ],
)
def test_lax_servers(body: bytes, found: list[Any]) -> None:
    assert _events(body) == found


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"a": "half a li',
        b'data: {"a": "half a li\n\ndata: {"b": 1}\n\n',
        b'data: {"a": "\xff\xfe"}\n\n',
        b"\xff\n",
        b"data: 3\n\n",
        b'data: "text"\n\n',
        b"data: null\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: {\n" * 1000,
        b"data: " + b"9" * 5000 + b"\n\n",
    ],
)
def test_what_cannot_be_read_is_our_error(body: bytes) -> None:
    with pytest.raises(RemoteError):
        _events(body)


def test_a_line_without_end_is_cut() -> None:
    read = 0

    def chunks() -> Any:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 100_000

    with pytest.raises(RemoteError, match="a line of more than"):
        list(sse.events(chunks()))
    assert read < 100


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"data: {", b"}\n\n", b'"a":1'])))
def test_any_bytes(chunks: list[bytes]) -> None:
    with contextlib.suppress(RemoteError):
        assert all(isinstance(event, dict) for event in sse.events(chunks))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(["openai", "anthropic"]), _EVENTS)
def test_any_events(dialect: str, events: list[dict[str, Any]]) -> None:
    """What passes the dialect's reader makes deltas of the right types, the rest our errors."""
    generator = _GENERATORS[dialect]
    reply = Reply(())
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    try:
        deltas = [generator._read(event, reply) for event in sse.events([body])]
        deltas += [*reply.rest(), reply.last(1, 0.0)]
    except RemoteError:
        return
    for delta in filter(None, deltas):
        assert isinstance(delta.text, str)
        assert isinstance(delta.reasoning, str)
        if delta.tool_call is not None:
            assert isinstance(delta.tool_call.name, str)
            assert isinstance(delta.tool_call.id, str)
            assert isinstance(delta.tool_call.arguments, dict)
        if delta.usage is not None:
            assert 0 <= delta.usage.cached_tokens <= delta.usage.prompt_tokens


_GENERATORS = {
    "openai": RemoteGenerator(url="http://127.0.0.1:9/v1", model="m"),
    "anthropic": RemoteGenerator(url="http://127.0.0.1:9/v1", preset="anthropic", model="m"),
}


def test_the_readers_are_the_dialects_own() -> None:
    event = {"choices": [{"delta": {"content": "a"}}], "type": "message_stop"}
    reply = Reply(())
    assert wire.read(event, reply) is not None
    assert not reply.done
    assert anthropic.read(event, reply) is None
    assert reply.done


def test_a_server_that_sends_comments_for_ever(chat_server: Any) -> None:
    chat_server.pause_s = 0.02
    chat_server.play(b"|cut|".join([b": ping\n\n"] * 1_000))
    generator = RemoteGenerator(url=chat_server.url, model="m", retries=0, total_timeout_s=0.05)
    with generator, pytest.raises(RemoteError, match="still answering"):
        list(generator.stream(_ASKED, sampling=Sampling(max_tokens=5)))


def test_a_slow_reader_s_time_is_not_the_server_s(chat_server: Any) -> None:
    piece = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
    done = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    # More than the sockets' buffers hold, or all would have been read before the first pause.
    filler = (b": " + b"x" * 1_000_000 + b"\n\n") * 12
    chat_server.play(b"|cut|".join([piece, filler, piece, done]))
    generator = RemoteGenerator(url=chat_server.url, model="m", retries=0, total_timeout_s=2.0)
    with generator:
        stream = generator.stream(_ASKED, sampling=Sampling(max_tokens=5))
        assert next(stream).text == "a"
        time.sleep(2.1)
        assert [delta.finish for delta in stream][-1] == "stop"


def test_what_cannot_be_sent_is_our_error(chat_server: Any) -> None:
    done = b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
    chat_server.play(done)
    with RemoteGenerator(url=chat_server.url, model="m", retries=0) as generator:
        list(generator.stream([Message("user", "half \ud800")], sampling=Sampling(max_tokens=5)))
    assert chat_server.requests[0]["messages"][0]["content"] == "half ?"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\ndata: {",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        b"HTTP/1.1 500 Oops\r\nRetry-After: 1e999\r\n\r\n\xff\xfe",
        b"HTTP/1.1 503 Oops\r\nRetry-After: Fri, 99 Foo 99999999999 99:99:99\r\n\r\n"
        + b"[" * 90_000,
    ],
)
def test_a_server_that_speaks_no_http(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with (
            RemoteGenerator(url=url, model="m", retries=0, timeout_s=5) as generator,
            pytest.raises(RemoteError),
        ):
            list(generator.stream(_ASKED, sampling=Sampling(max_tokens=5)))
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_a_silent_server_is_left() -> None:
    """A connection that is taken and never answered ends with the time allowed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with (
            RemoteGenerator(url=url, model="m", retries=0, timeout_s=0.1) as generator,
            pytest.raises(RemoteError, match=r"nothing came for 0\.1 s"),
        ):
            list(generator.stream(_ASKED, sampling=Sampling(max_tokens=5)))


def test_a_closed_generator_says_so(chat_server: Any) -> None:
    generator = RemoteGenerator(url=chat_server.url, model="m")
    generator.close()
    with pytest.raises(InputError, match="closed"):
        list(generator.stream(_ASKED, sampling=Sampling(max_tokens=5)))
