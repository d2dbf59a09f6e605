"""Tiny models, written once a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragstack.engine.context import Context, Options
from ragstack.engine.engine import Engine
from ragstack.engine.model import Model
from ragstack.engine.vocabulary import Vocabulary
from ragstack.testing.tiny_model import TinyModel


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyModel().write(tmp_path_factory.mktemp("engine") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_sentencepiece_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyModel(sentencepiece=True).write(tmp_path_factory.mktemp("engine") / "sp.gguf")


@pytest.fixture(scope="session")
def tiny_model(tiny_path: Path) -> Iterator[Model]:
    model = Model(tiny_path)
    yield model
    model.close()


@pytest.fixture(scope="session")
def tiny_vocabulary(tiny_model: Model) -> Vocabulary:
    return tiny_model.vocabulary


@pytest.fixture(scope="session")
def sentencepiece_vocabulary(tiny_sentencepiece_path: Path) -> Iterator[Vocabulary]:
    model = Model(tiny_sentencepiece_path)
    yield model.vocabulary
    model.close()


@pytest.fixture
def tiny_context(tiny_model: Model) -> Iterator[Context]:
    context = Context(tiny_model, Options(size=256, batch=32, threads=1))
    yield context
    context.close()


@pytest.fixture
def tiny_engine(tiny_path: Path) -> Iterator[Engine]:
    engine = Engine(tiny_path, Options(size=256, batch=32, threads=1))
    yield engine
    engine.close()
