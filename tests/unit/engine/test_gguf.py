"""Headers of GGUF files: what is right is read, what is wrong is refused with a reason."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstack.engine.gguf import read_header
from ragstack.errors import ModelError
from ragstack.testing.tiny_model import QWEN_TEMPLATE, write_gguf

_TENSOR = {"x.weight": np.ones((4, 32), np.float32)}


def test_a_header_says_what_was_written(tiny_path: Path) -> None:
    header = read_header(tiny_path)
    assert header.architecture == "llama"
    assert header.context_length == 512
    assert header.chat_template == QWEN_TEMPLATE
    assert header.number("block_count") == 2
    assert header.lengths["tokenizer.ggml.tokens"] == 273
    assert header.lengths["tokenizer.ggml.merges"] == 10
    assert header.metadata["tokenizer.ggml.merges"][0] == "t h"  # type: ignore[index]
    assert "tokenizer.ggml.tokens" not in header.metadata
    embedding = next(t for t in header.tensors if t.name == "token_embd.weight")
    assert embedding.shape == (64, 273)
    assert embedding.bytes == 64 * 273 * 4


def test_tensors_lie_where_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, {"general.architecture": "odd"}, _TENSOR)
    (tensor,) = read_header(path).tensors
    data = path.read_bytes()[tensor.start : tensor.start + tensor.bytes]
    assert np.array_equal(np.frombuffer(data, np.float32), np.ones(128, np.float32))


@pytest.mark.parametrize("kept", [0, 3, 4, 10, 24, 100, 2_000, 9_000])
def test_a_file_cut_short_is_refused(tiny_path: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny_path.read_bytes()[:kept])
    with pytest.raises(ModelError):
        read_header(path)


def test_a_file_short_of_one_byte_is_refused(tiny_path: Path, tmp_path: Path) -> None:
    last = max(tensor.start + tensor.bytes for tensor in read_header(tiny_path).tensors)
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny_path.read_bytes()[: last - 1])
    with pytest.raises(ModelError, match="ends at byte"):
        read_header(path)


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_header(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    ("at", "new", "reason"),
    [
        (0, b"GGML", "begins with"),
        (4, struct.pack("<I", 1), "format version"),
        (4, struct.pack(">I", 3), "format version"),
        (8, struct.pack("<Q", 2**63), "more than there are bytes"),
        (16, struct.pack("<Q", 2**40), "more than there are bytes"),
        (24, struct.pack("<Q", 2**62), "middle of its header"),
    ],
)
def test_a_wrong_field_is_named(
    tiny_path: Path, tmp_path: Path, at: int, new: bytes, reason: str
) -> None:
    data = bytearray(tiny_path.read_bytes())
    data[at : at + len(new)] = new
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=reason):
        read_header(path)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"general.name": "x"}, "architecture"),
        ({"general.architecture": "a", "general.alignment": 3}, "alignment"),
        ({"general.architecture": "a", "general.alignment": 0}, "alignment"),
        ({"general.architecture": "a", "": 3}, "empty or there twice"),
    ],
)
def test_impossible_metadata_are_refused(
    tmp_path: Path, metadata: dict[str, object], reason: str
) -> None:
    path = tmp_path / "bad.gguf"
    write_gguf(path, metadata, _TENSOR)
    with pytest.raises(ModelError, match=reason):
        read_header(path)


def test_no_tensors_and_twice_the_same_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    write_gguf(path, {"general.architecture": "a"}, {})
    with pytest.raises(ModelError, match="no tensors"):
        read_header(path)
    write_gguf(
        path, {"general.architecture": "a"}, {"a": _TENSOR["x.weight"], "b": np.ones(4, "f4")}
    )
    path.write_bytes(path.read_bytes().replace(b"\x01\0\0\0\0\0\0\0b", b"\x01\0\0\0\0\0\0\0a"))
    with pytest.raises(ModelError, match="one name"):
        read_header(path)


@settings(max_examples=300)
@given(st.data())
def test_no_bytes_bring_it_down(
    tiny_path: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is changed in a header, it is read or refused with a ModelError."""
    original = tiny_path.read_bytes()
    changed = bytearray(original)
    header_end = read_header(tiny_path).tensors[0].start
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, header_end - 1))
        new = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.just(b"\xff" * 8)))
        changed[at : at + len(new)] = new
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(changed))))
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    path.write_bytes(changed[:cut])
    try:
        read_header(path)
    except ModelError as error:
        assert error.message
