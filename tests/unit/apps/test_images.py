"""Images that come over the wire: looked at byte by byte, and none of them fetched."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ragstack.errors import InputError
from ragstack.types import MOST_IMAGE_BYTES, images_of
from ragstack_apps.server.messages import messages_of

_PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
_B64 = base64.b64encode(_PNG).decode()


def _sent(url: str) -> list[dict[str, Any]]:
    parts = [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def test_the_server_takes_images_in() -> None:
    (message,) = messages_of(_sent(f"data:image/gif;base64,{_B64}"))
    assert images_of(message) == (_PNG,)
    assert message.text == "See:"
    assert isinstance(message.content, tuple)
    assert message.content[1].type == "image/png"  # whatever the address says


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1/x.png", "fetched from nowhere"),
        ("file:///etc/passwd", "fetched from nowhere"),
        ("data:image/png;base64,%%%", "not base64"),
        ("data:image/png;base64,AAAA", r"messages\[0\].content\[1\].* begins with"),
        ("data:image/svg+xml;base64," + base64.b64encode(b"<svg/>" * 9).decode(), "begins with"),
        ("data:image/png;base64," + "A" * (MOST_IMAGE_BYTES // 3 * 4 + 8), "larger than 20 MB"),
    ],
)
def test_the_server_refuses_what_it_would_have_to_trust(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        messages_of(_sent(url))
