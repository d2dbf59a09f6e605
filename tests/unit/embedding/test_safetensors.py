from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragstack.embedding.safetensors import read
from ragstack.errors import ModelError


def test_reads_what_was_written(
    tmp_path: Path, write_safetensors: Callable[[Path, Mapping[str, NDArray[Any]]], str]
) -> None:
    written = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([[7]], dtype=np.int64),
        "c": np.zeros((0, 4), dtype=np.float16),
    }
    write_safetensors(tmp_path / "m.safetensors", written)
    found = read(tmp_path / "m.safetensors")
    assert list(found) == ["a", "b", "c"]
    for name, value in written.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert (found[name] == value).all()


def _file(header: object, data: bytes = b"\0" * 16) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _entry(**changes: object) -> dict[str, object]:
    return {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}}


BROKEN = {
    "empty": b"",
    "seven bytes": b"1234567",
    "length beyond the file": (1 << 40).to_bytes(8, "little") + b"{}",
    "header cut": (100).to_bytes(8, "little") + b"{}",
    "no json": _file(b"{nonsense}"),
    "not utf-8": _file(b'{"\xff": 1}'),
    "a list": _file([1, 2]),
    "deep": _file(b"[" * 100_000),
    "unknown type": _file(_entry(dtype="F8_E4M3")),
    "no shape": _file({"w": {"dtype": "F32", "data_offsets": [0, 16]}}),
    "entry is no table": _file({"w": 3}),
    "beyond the data": _file(_entry(data_offsets=[8, 24])),
    "backwards": _file(_entry(data_offsets=[16, 0])),
    "negative side": _file(_entry(shape=[-2, -2])),
    "wrong size": _file(_entry(shape=[2, 3])),
    "offsets of three": _file(_entry(data_offsets=[0, 8, 16])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(BROKEN[name])
    with pytest.raises(ModelError, match="is not a safetensors file"):
        read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        read(tmp_path / "nowhere")


@given(
    blob=st.binary(max_size=200) | st.builds(_file, st.binary(max_size=120), st.binary(max_size=40))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_bytes_only_a_model_error_leaves(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(blob)
    with contextlib.suppress(ModelError):
        read(path)
