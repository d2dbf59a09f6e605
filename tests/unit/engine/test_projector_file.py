"""Which projector is a model's: by its folder, the width of its rows, and its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.engine.projector_file import AUTO, OFF, choose, projector_beside
from ragstack.errors import ModelError
from ragstack.testing.tiny_model import TinyModel
from ragstack.testing.tiny_projector import PROJECTORS, TinyProjector, write_seeing


@pytest.mark.parametrize("kind", PROJECTORS)
def test_it_is_found_beside_its_model(tmp_path: Path, kind: str) -> None:
    model, projector = write_seeing(tmp_path, kind)
    assert projector_beside(model) == choose(model, AUTO).path == projector
    assert choose(model, OFF).path is None
    moved = projector.rename(tmp_path / "eye.gguf")
    assert projector_beside(model) is None, "its name tells it from models"
    assert choose(model, str(moved)).path == moved


def test_what_is_no_projector_is_passed_over(tmp_path: Path) -> None:
    model = TinyModel().write(tmp_path / "model.gguf")
    assert projector_beside(model) is None
    (tmp_path / "a-mmproj.gguf").write_bytes(b"GGUF")
    TinyModel().write(tmp_path / "no-mmproj.gguf")
    chosen = choose(model, AUTO)
    assert chosen.path is None and "no projector lies beside" in chosen.reason
    with pytest.raises(ModelError, match="no vision projector"):
        choose(model, str(model))


@pytest.mark.parametrize("kind", PROJECTORS)
def test_one_of_another_width_is_another_models(tmp_path: Path, kind: str) -> None:
    model = TinyModel().write(tmp_path / "model.gguf")
    TinyProjector(kind, width=96).write(tmp_path / "mmproj-a.gguf")
    chosen = choose(model, AUTO)
    assert chosen.path is None and "makes no rows of 64 numbers" in chosen.reason
    own = TinyProjector(kind).write(tmp_path / "mmproj-b.gguf")
    assert choose(model, AUTO).path == own


@pytest.mark.parametrize(
    ("file", "said", "found"),
    [
        ("mmproj-other-7b-f16.gguf", "Other 7B", False),
        ("mmproj-model-f16.gguf", "", False),
        ("mmproj-model-f16.gguf", "TINY", True),  # as the model's header says
        ("mmproj-Mine-2B-f16.gguf", "", True),
        ("mine-2b.mmproj-Q8_0.gguf", "CLIP", True),
    ],
)
def test_among_several_models_the_name_decides(
    tmp_path: Path, file: str, said: str, found: bool
) -> None:
    model = TinyModel().write(tmp_path / "Mine-2B-Q4_K_M.gguf")
    own = TinyProjector(metadata={"general.name": said}).write(tmp_path / file)
    assert projector_beside(model) == own, "alone it is not asked for its name"
    TinyModel(seed=1).write(tmp_path / "other-7b.gguf")
    chosen = choose(model, AUTO)
    assert chosen.path == (own if found else None)
    assert found or "beside several models" in chosen.reason
    assert choose(model, str(own)).path == own


def test_of_several_that_fit_the_one_of_its_name_is_taken(tmp_path: Path) -> None:
    model = TinyModel().write(tmp_path / "mine-q8_0.gguf")
    TinyProjector().write(tmp_path / "mmproj-a.gguf")
    own = TinyProjector().write(tmp_path / "mmproj-mine.gguf")
    assert projector_beside(model) == own
