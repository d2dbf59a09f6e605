"""Images that come over the wire: looked at byte by byte, and none of them fetched."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstack.errors import InputError
from ragstack.generate.local import LocalGenerator
from ragstack.testing.samples import png_bytes
from ragstack.testing.tiny_projector import write_seeing
from ragstack.types import MOST_IMAGE_BYTES, images_of
from ragstack_apps.server.messages import messages_of
from ragstack_apps.server.running import Server

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


def test_an_image_reaches_a_local_model_that_sees(
    serve: Callable[..., Server], client: Callable[[Server], httpx.Client], tmp_path: Path
) -> None:
    image = png_bytes([[(200, 16 * x, 16 * y) for x in range(16)] for y in range(16)])
    sent = _sent(f"data:image/png;base64,{base64.b64encode(image).decode()}")
    model, _ = write_seeing(tmp_path, "mlp")
    with LocalGenerator(model=str(model), context_size=512, threads=1) as generator:
        web = client(serve(generator))
        body = {"model": generator.name, "messages": sent, "max_tokens": 8}
        first, again = (
            web.post("/v1/chat/completions", json=body).raise_for_status().json() for _ in range(2)
        )
        assert first["choices"][0]["message"]["content"]
        usage = again["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] - 1
        broken = _sent(f"data:image/png;base64,{base64.b64encode(image[:50]).decode()}")
        refused = web.post("/v1/chat/completions", json={**body, "messages": broken})
        assert refused.status_code == 400
        assert "cannot be read" in refused.json()["error"]["message"]


def test_a_local_model_that_reads_text_says_so(
    serve: Callable[..., Server], client: Callable[[Server], httpx.Client], tiny: LocalGenerator
) -> None:
    image = png_bytes([[(0, 0, 0)] * 16] * 16)
    sent = _sent(f"data:image/png;base64,{base64.b64encode(image).decode()}")
    refused = client(serve(tiny)).post(
        "/v1/chat/completions", json={"model": tiny.name, "messages": sent}
    )
    assert refused.status_code == 400
    assert "reads text alone" in refused.json()["error"]["message"]
