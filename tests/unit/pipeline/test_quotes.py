"""Quotes: what is streamed, and that passages are cut down to what was quoted."""

from __future__ import annotations

import pytest

from ragstack.errors import UnsupportedCapability
from ragstack.generate.local import LocalGenerator
from ragstack.generate.remote import RemoteGenerator
from ragstack.pipeline.pack import Block
from ragstack.pipeline.quotes import check_quotes, quotation
from ragstack.testing.tiny_model import TinyModel
from ragstack.types import Chunk, Delta, Message, Passage

_TEXT = "The Harbour Trust\npays. It owns 12.5 boats."


def _block() -> Block:
    chunk = Chunk("d", "v", 100, 100 + len(_TEXT), _TEXT)
    passage = Passage(chunk, 1.0, "a.md")
    return Block("d", "a.md", 100, 100 + len(_TEXT), _TEXT, "", (passage,), 20)


@pytest.mark.parametrize("style", ["brief", "normal", "detailed"])
def test_what_is_quoted_stands_in_the_document(tmp_path_factory, style: str) -> None:  # type: ignore[no-untyped-def]
    path = TinyModel().write(tmp_path_factory.mktemp("quotes") / "tiny.gguf")
    with LocalGenerator(model=str(path)) as generator:
        said = quotation(generator, [Message("user", "Who?")], [_block()], style, 8)
        shown = ""
        try:
            while True:
                event = next(said)
                assert isinstance(event, Delta)
                shown += event.text
        except StopIteration as end:
            result = end.value
    assert shown.strip() == result.text
    assert result.text
    assert result.passages
    for passage in result.passages:
        chunk = passage.chunk
        assert result.homes[chunk.id] == _block().passages[0].chunk.id
        assert _TEXT[chunk.start - 100 : chunk.end - 100] == chunk.text


def test_a_generator_without_the_grammar_is_refused() -> None:
    with pytest.raises(UnsupportedCapability, match="verbatim quotes"):
        check_quotes(RemoteGenerator(url="http://127.0.0.1:1/v1", model="any"))
