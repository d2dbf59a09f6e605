"""Any body at all: a request, or an InputError; never anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ragstack.errors import InputError
from ragstack_apps.server.schemas import ChatRequest, chat_request, parsed

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_ANY = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "function", "name", "text", "url"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
_FIELDS = [
    "model", "messages", "temperature", "top_p", "seed", "max_tokens", "stop", "stream", "n",
    "stream_options", "tools", "tool_choice", "response_format", "logit_bias", "user", "ragstack",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(_FIELDS), _ANY, max_size=4))
def test_any_fields(changed: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **changed}
    with suppress(InputError):
        assert isinstance(chat_request(parsed(json.dumps(body).encode())), ChatRequest)


@given(_ANY)
def test_any_message(message: Any) -> None:
    body = {"model": "m", "messages": [message]}
    with suppress(InputError):
        assert chat_request(parsed(json.dumps(body).encode())).messages


@given(st.binary(max_size=64))
def test_any_bytes(body: bytes) -> None:
    with suppress(InputError):
        assert isinstance(parsed(body), dict)
