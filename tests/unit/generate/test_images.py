"""Images in a message: what they are is read from their bytes, and each dialect sends them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import InputError, UnsupportedCapability
from ragstack.generate import anthropic, wire
from ragstack.generate.cascade import CascadeGenerator
from ragstack.generate.local import LocalGenerator
from ragstack.generate.remote import RemoteGenerator
from ragstack.generate.steps import Step
from ragstack.types import (
    MOST_IMAGE_BYTES,
    Message,
    Part,
    Sampling,
    image_part,
    image_type,
)

# One grey point.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
_JPEG = b"\xff\xd8\xff\xe0" + bytes(30)
_WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(30)
_GIF = b"GIF89a" + bytes(30)
_ASKED = Message("user", (Part("Before", "text/plain"), image_part(PNG), Part("after", "text")))
_B64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (_JPEG, "image/jpeg"),
        (_WEBP, "image/webp"),
        (_GIF, "image/gif"),
        (_GIF.replace(b"9a", b"7a"), "image/gif"),
    ],
)
def test_the_bytes_say_what_they_are(data: bytes, media_type: str, tmp_path: Path) -> None:
    assert image_type(data) == media_type
    path = tmp_path / "misnamed.txt"
    path.write_bytes(data)
    assert image_part(path) == image_part(str(path)) == Part(data, media_type)


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG", b"%PDF-1.7" + bytes(40), b"<svg></svg>" * 9, b"RIFF" + bytes(40)]
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="expected a PNG, JPEG, WebP or GIF"):
        image_part(data)


def test_what_is_too_large_or_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="20 at most"):
        image_part(PNG + bytes(MOST_IMAGE_BYTES))
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.write(PNG)
        file.truncate(MOST_IMAGE_BYTES + 1)
    with pytest.raises(InputError, match="20 at most"):
        image_part(large)
    for place in (tmp_path / "none.png", tmp_path, "https://example.org/x.png", "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            image_part(place)


def test_openai_gets_data_addresses() -> None:
    said = wire.body("m", wire.Ask([_ASKED], Sampling()))["messages"][0]
    assert said == {
        "role": "user",
        "content": [
            {"type": "text", "text": "Before"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_B64}"}},
            {"type": "text", "text": "after"},
        ],
    }
    lying = Message("user", (Part(_JPEG, "text/html; privacy=private"),))
    sent = wire.body("m", wire.Ask([lying], Sampling()))["messages"][0]["content"]
    assert sent[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_anthropic_gets_blocks() -> None:
    answered = Message("tool", (Part(_GIF, ""), Part("a clock", "")), tool_call_id="t1")
    said = anthropic.body("m", wire.Ask([_ASKED, answered], Sampling()))["messages"]
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": _B64},
    }
    first, *_ = said
    assert first["content"][:3] == [
        {"type": "text", "text": "Before"},
        image,
        {"type": "text", "text": "after"},
    ]
    result = first["content"][3]
    assert result["tool_use_id"] == "t1"
    assert [block["type"] for block in result["content"]] == ["image", "text"]
    alone = anthropic.body("m", wire.Ask([Message("user", (image_part(PNG),))], Sampling()))
    assert alone["messages"][0]["content"] == [image]
    with pytest.raises(InputError, match=r"Anthropic takes 5\.2 at most"):
        large = Message("user", (Part(PNG + bytes(6_000_000), "image/png"),))
        anthropic.body("m", wire.Ask([large], Sampling()))


@pytest.mark.parametrize("body", [wire.body, anthropic.body])
@pytest.mark.parametrize("role", ["system", "assistant"])
def test_images_stand_in_the_user_s_messages(body: Callable[..., Any], role: Any) -> None:
    odd = Message(role, (image_part(PNG),))
    with pytest.raises(UnsupportedCapability, match=role):
        body("m", wire.Ask([odd, Message("user", "And?")], Sampling()))


@pytest.mark.parametrize("body", [wire.body, anthropic.body])
def test_what_is_no_image_is_not_sent(body: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="PNG, JPEG, WebP or GIF"):
        body("m", wire.Ask([Message("user", (Part(b"MZ" * 20, "image/png"),))], Sampling()))


def test_remote_reads_images_and_counts_them(
    chat_server: Any, golden: Callable[[str], bytes]
) -> None:
    chat_server.play(golden("openai_text.sse"), Content_Type="text/event-stream")
    with RemoteGenerator(url=chat_server.url, model="m", retries=0) as generator:
        assert generator.capabilities.images
        assert generator.count_tokens([_ASKED]) > 1_600
        assert list(generator.stream([_ASKED], sampling=Sampling(max_tokens=50)))
    assert chat_server.requests[0]["messages"][0]["content"][1]["type"] == "image_url"


def test_a_cascade_goes_on_to_a_step_that_reads_images(
    local_generator: LocalGenerator, chat_server: Any, golden: Callable[[str], bytes]
) -> None:
    chat_server.play(golden("openai_text.sse"), Content_Type="text/event-stream")
    with RemoteGenerator(url=chat_server.url, model="m", retries=0) as remote:
        cascade = CascadeGenerator(steps=[Step(local_generator, 0.5), Step(remote)])
        assert cascade.capabilities.images
        assert cascade.count_tokens([_ASKED]) == remote.count_tokens([_ASKED])
        said = "".join(d.text for d in cascade.stream([_ASKED], sampling=Sampling(max_tokens=50)))
    assert said == "Le château d’eau 🎉."
    assert len(chat_server.requests) == 1
