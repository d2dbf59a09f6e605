"""LangChain's messages as ours: roles, parts, calls and what no generator here can read."""

from __future__ import annotations

import base64
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.messages import (  # after the check for the extra
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from ragstack import Message
from ragstack.errors import InputError
from ragstack.types import Part, ToolCall
from ragstack_connectors.langchain.messages import from_langchain

_PNG = base64.b64encode(b"\x89PNG").decode("ascii")


def test_neighbours_of_one_role_become_one() -> None:
    found = from_langchain(
        [
            SystemMessage("Be short."),
            ChatMessage(role="developer", content="Be kind."),
            HumanMessage("one"),
            HumanMessage(""),
            ChatMessage(role="human", content="two"),
        ]
    )
    assert found == [Message("system", "Be short.\n\nBe kind."), Message("user", "one\n\ntwo")]
    picture = {"type": "image", "base64": _PNG, "mime_type": "image/png"}
    (joined,) = from_langchain([HumanMessage("see"), HumanMessage([picture, "there"])])
    assert isinstance(joined.content, tuple)
    assert [part.data for part in joined.content] == ["see", "\n\n", b"\x89PNG", "there"]


def test_calls_and_what_tools_answer_stand_apart() -> None:
    call = {"name": "search", "args": {"q": "x"}, "id": None, "type": "tool_call"}
    found = from_langchain(
        [
            AIMessage("", tool_calls=[call]),
            ToolMessage([{"rows": 3}], tool_call_id="call_0"),
            ToolMessage("broken", tool_call_id="call_1", status="error"),
            FunctionMessage("42", name="count"),
        ]
    )
    assert found[0].tool_calls == (ToolCall("call_0", "search", {"q": "x"}),)
    assert [each.content for each in found[1:]] == ['{"rows": 3}', "error: broken", "42"]
    assert [each.tool_call_id for each in found[1:]] == ["call_0", "call_1", "count"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{_PNG}"}},
        {"type": "image", "source": {"data": _PNG, "media_type": "image/jpeg"}},
        {"type": "image", "base64": _PNG, "mime_type": "image/jpeg"},
    ],
)
def test_pictures_of_every_dialect(block: dict[str, Any]) -> None:
    thought = {"type": "thinking", "thinking": "hm"}
    (message,) = from_langchain([HumanMessage([thought, block])])
    assert message.content == (Part(b"\x89PNG", "image/jpeg"),)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (ChatMessage(role="narrator", content="x"), "roles known"),
        (HumanMessage([{"type": "video"}]), "the type 'video'"),
        (HumanMessage([{"type": "image", "url": "https://host/a.png"}]), "an address elsewhere"),
        (HumanMessage([{"type": "image", "base64": "!"}]), "no base64"),
    ],
)
def test_what_cannot_be_read_is_refused(message: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        from_langchain([message])
