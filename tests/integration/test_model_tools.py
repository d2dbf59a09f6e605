"""Formats and measures with a real model: SmolLM2, fetched once a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack import models
from ragstack.engine.gguf import read_header
from ragstack.engine.memory import Window
from ragstack.engine.tools.formats import format_of
from ragstack.engine.tools.quantize import quantize, quantized_bytes
from ragstack.engine.tools.summary import summary_of
from ragstack.engine.tools.workbench import Effort, compare, measure

pytestmark = pytest.mark.integration

# The beginning of what models are measured on, so that this is quick.
_TEXT = "The ferry to the island leaves twice a day, once before the market opens. Nobody books."


@pytest.fixture(scope="module")
def smol() -> Path:
    return models.path("smollm2-135m-instruct", pull=True)


def test_a_header_says_all_of_it(smol: Path) -> None:
    found = summary_of(read_header(smol), Window(2048))
    assert (found.layers, found.heads, found.kv_heads, found.width) == (30, 9, 3, 576)
    assert found.format == "Q4_1"
    assert found.vocabulary == 49152
    assert found.chat_template
    assert found.need.cache == 2048 * 30 * 3 * 2 * 64 * 2


def test_a_rougher_format_foretells_worse_and_agrees_mostly(smol: Path, tmp_path: Path) -> None:
    reckoned = quantized_bytes(smol, "Q4_0")
    small = quantize(smol, tmp_path / "small.gguf", "Q4_0")
    assert format_of(read_header(small)) == "Q4_0"
    assert small.stat().st_size == pytest.approx(reckoned, rel=0.001)
    found = compare(smol, small, text=_TEXT)
    assert 1.0 < found.first.bits_per_character < 2.5
    assert found.divergence is not None
    assert found.top_1 is not None
    assert 0.01 < found.divergence < 1.0
    assert 0.5 < found.top_1 < 1.0


def test_sense_is_likelier_than_nonsense(smol: Path) -> None:
    quick = Effort(rounds=1, read=128, written=4)
    nonsense = " ".join(reversed(_TEXT.split()))
    sense, shuffled = (measure(smol, text=text, effort=quick) for text in (_TEXT, nonsense))
    assert sense.score is not None
    assert shuffled.score is not None
    assert sense.score.bits_per_character < shuffled.score.bits_per_character * 0.8
    assert sense.prefill > sense.decode
