"""Other formats of a tiny model: made whole, or not at all and with a reason."""

from __future__ import annotations

from pathlib import Path

import filelock
import numpy as np
import pytest

from ragstack.engine.gguf import Header, read_header
from ragstack.engine.tools import quantize as quantizing
from ragstack.engine.tools.formats import (
    FORMATS,
    format_of,
    is_quantised,
    named_format,
    tensor_type,
)
from ragstack.engine.tools.quantize import quantize, quantized_bytes, requantising_note
from ragstack.engine.tools.workbench import compare
from ragstack.errors import (
    InputError,
    ModelError,
    ModelUnavailable,
    NotEnoughSpace,
    UnsupportedCapability,
)
from ragstack.testing.tiny_model import write_gguf


@pytest.fixture(scope="module")
def small(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in Q8_0."""
    return quantize(tiny_path, tmp_path_factory.mktemp("made") / "q8.gguf", "q8_0")


def test_it_becomes_smaller_and_says_nearly_the_same(tiny_path: Path, small: Path) -> None:
    header = read_header(small)
    assert format_of(read_header(tiny_path)) == "F32"
    assert format_of(header) == "Q8_0"
    assert is_quantised(header)
    assert small.stat().st_size < tiny_path.stat().st_size / 2
    found = compare(tiny_path, small, text="the inner ear of the other")
    assert found.divergence is not None
    assert 0 < found.divergence < 0.1
    assert sorted(path.name for path in small.parent.iterdir()) == ["q8.gguf"]


def test_the_size_is_known_before(tiny_path: Path, small: Path) -> None:
    assert quantized_bytes(tiny_path, "Q8_0") == pytest.approx(small.stat().st_size, rel=0.05)


def test_each_tensor_is_told(tiny_path: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    quantize(tiny_path, tmp_path / "a.gguf", "q4-0", progress=lambda *step: steps.append(step))
    count = len(read_header(tiny_path).tensors)
    assert steps == [(i + 1, count) for i in range(count)]


def test_rounded_weights_are_noted(tiny_path: Path, small: Path, tmp_path: Path) -> None:
    assert requantising_note(read_header(tiny_path)) == ""
    assert "Q8_0, rounded before" in requantising_note(read_header(small))
    again = quantize(small, tmp_path / "again.gguf", "Q4_0")
    assert format_of(read_header(again)) == "Q4_0"


def test_nothing_is_written_over(tiny_path: Path, small: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.gguf"
    taken.write_bytes(b"mine")
    with pytest.raises(InputError, match="already"):
        quantize(tiny_path, taken, "Q8_0")
    assert taken.read_bytes() == b"mine"
    with pytest.raises(InputError, match="no folder"):
        quantize(tiny_path, tmp_path / "nowhere" / "a.gguf", "Q8_0")
    with pytest.raises(InputError, match=r"\.gguf"):
        quantize(tiny_path, tmp_path / "a.bin", "Q8_0")
    with pytest.raises(InputError, match="in the format Q8_0 already"):
        quantize(small, tmp_path / "a.gguf", "q8_0")


def test_a_full_disk_is_seen_before(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = quantizing.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(quantizing.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(NotEnoughSpace, match="0 MB are free"):
        quantize(tiny_path, tmp_path / "a.gguf", "Q8_0")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = quantizing.run_job

    def broken(job: dict[str, object], *rest: object) -> dict[str, object]:
        if job["dry"]:
            return real(job)
        Path(str(job["out"])).write_bytes(tiny_path.read_bytes()[:5000])
        return {"bytes": 0}

    monkeypatch.setattr(quantizing, "run_job", broken)
    with pytest.raises(ModelError):
        quantize(tiny_path, tmp_path / "a.gguf", "Q8_0")
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_write_one_file(tiny_path: Path, tmp_path: Path) -> None:
    with (
        filelock.FileLock(tmp_path / "a.gguf.partial.lock"),
        pytest.raises(ModelUnavailable, match="another process"),
    ):
        quantize(tiny_path, tmp_path / "a.gguf", "Q8_0")


def test_what_llama_cpp_cannot_write_says_why(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    tensors = {"x.weight": np.ones((4, 32), np.float32)}
    write_gguf(path, {"general.architecture": "unheard-of"}, tensors)
    with pytest.raises(ModelError, match="unknown model architecture"):
        quantize(path, tmp_path / "a.gguf", "Q8_0")
    write_gguf(path, {"general.architecture": "clip"}, tensors)
    with pytest.raises(UnsupportedCapability, match="vision projector"):
        quantize(path, tmp_path / "a.gguf", "Q8_0")


def test_formats_have_names() -> None:
    assert named_format(" q4-k-m ") == "Q4_K_M"
    assert len(set(FORMATS.values())) == len(FORMATS)
    with pytest.raises(InputError, match="no format is named 'Q4K'") as caught:
        named_format("Q4K")
    assert "Q4_K" in caught.value.hint
    with pytest.raises(InputError, match="importance matrix"):
        named_format("IQ2_XS")
    assert tensor_type(12) == "Q4_K"
    assert tensor_type(99) == "type 99"
    said = {"general.architecture": "a", "general.file_type": 15}
    assert format_of(Header(Path("x"), said, {}, ())) == "Q4_K_M"
    assert format_of(Header(Path("x"), {}, {}, ())) == "?"
