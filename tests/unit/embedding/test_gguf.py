"""Embeddings by llama.cpp: an encoder and a decoder, every way of pooling, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from ragstack.embedding.gguf import GgufEmbedder
from ragstack.engine import probe
from ragstack.engine.encoder import Encoder, encoding
from ragstack.engine.gguf import read_header
from ragstack.errors import (
    ConfigError,
    GenerationError,
    InputError,
    ModelError,
    ModelUnavailable,
    UnsupportedCapability,
)
from ragstack.testing.embedders import EmbedderSuite
from ragstack.testing.tiny_encoder import TinyEncoder
from ragstack.testing.tiny_model import TinyModel


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="session")
def bert(folder: Path) -> Path:
    return TinyEncoder().write(folder / "bert.gguf")


@pytest.fixture(scope="session")
def ranker(folder: Path) -> Path:
    return TinyEncoder(pooling=4, labels=("fits",)).write(folder / "ranker.gguf")


@pytest.fixture(scope="session")
def llama(folder: Path) -> Path:
    return TinyModel(context_length=256).write(folder / "llama.gguf")


class _Made:
    paths: ClassVar[dict[str, Path]] = {}

    @pytest.fixture(autouse=True)
    def _models(self, bert: Path, llama: Path) -> None:
        self.paths.update(bert=bert, llama=llama)


class TestEncoder(_Made, EmbedderSuite):
    def make(self) -> GgufEmbedder:
        return GgufEmbedder(model=str(self.paths["bert"]), threads=1)


class TestEncoderFirstToken(_Made, EmbedderSuite):
    def make(self) -> GgufEmbedder:
        return GgufEmbedder(model=str(self.paths["bert"]), threads=1, pooling="cls")


class TestDecoderMean(_Made, EmbedderSuite):
    def make(self) -> GgufEmbedder:
        return GgufEmbedder(model=str(self.paths["llama"]), threads=1)


class TestDecoderLast(_Made, EmbedderSuite):
    def make(self) -> GgufEmbedder:
        return GgufEmbedder(model=str(self.paths["llama"]), threads=1, pooling="last")


def test_pooling_is_what_it_says(bert: Path) -> None:
    header = read_header(bert)
    rows: dict[str, np.ndarray] = {}  # type: ignore[type-arg]
    for pooling in ("mean", "cls", "last"):
        encoder = Encoder(bert, encoding(header, pooling=pooling), threads=1)
        rows[pooling] = encoder.encode([[2, 40, 3], [2, 41, 42, 43, 3]])
        assert encoder.width == 64
        encoder.close()
    assert not np.allclose(rows["cls"], rows["last"], atol=0.1)
    # The rows of all tokens make the mean; of three, the first and the last are known.
    middle = 3 * rows["mean"][0] - rows["cls"][0] - rows["last"][0]
    assert 4 < np.linalg.norm(middle) < 12  # each row leaves a norm of 64 numbers of variance 1


def test_a_header_without_pooling_means_the_mean(folder: Path, bert: Path) -> None:
    silent = TinyEncoder(pooling=None).write(folder / "silent.gguf")
    none = TinyEncoder(pooling=0).write(folder / "none.gguf")
    expected = GgufEmbedder(model=str(bert), threads=1).embed_documents(["who pays"])
    for path in (silent, none):
        with_mean = GgufEmbedder(model=str(path), threads=1)
        assert ":mean:" in with_mean.fingerprint
        assert with_mean.embed_documents(["who pays"]) == pytest.approx(expected, abs=1e-4)
        with_mean.close()


def test_long_texts_are_cut(bert: Path) -> None:
    embedder = GgufEmbedder(model=str(bert), threads=1, length=20)
    long, longer = embedder.embed_documents(["the roof " * 30, "the roof " * 60])
    assert long == pytest.approx(longer, abs=1e-5)
    embedder.close()


def test_prefixes_are_read(bert: Path) -> None:
    plain = GgufEmbedder(model=str(bert), threads=1)
    asking = GgufEmbedder(model=str(bert), threads=1, query_prefix="who: ")
    assert asking.fingerprint != plain.fingerprint
    assert asking.embed_queries(["the roof"]) == pytest.approx(
        plain.embed_documents(["who: the roof"]), abs=1e-4
    )
    assert asking.embed_documents(["the roof"]) == pytest.approx(
        plain.embed_documents(["the roof"]), abs=1e-4
    )


def test_other_weights_have_another_fingerprint(folder: Path, bert: Path) -> None:
    other = TinyEncoder(seed=1).write(folder / "other.gguf")
    one, two = (GgufEmbedder(model=str(path)) for path in (bert, other))
    assert one.fingerprint != two.fingerprint
    assert GgufEmbedder(model=str(bert), length=64).fingerprint != one.fingerprint


def test_it_works_again_after_close(bert: Path) -> None:
    embedder = GgufEmbedder(model=str(bert), threads=1)
    before = embedder.embed_documents(["the lease"])
    embedder.close()
    assert embedder.embed_documents(["the lease"]) == pytest.approx(before, abs=1e-6)
    embedder.close()


def test_what_cannot_be_had_is_refused(folder: Path, bert: Path, ranker: Path) -> None:
    with pytest.raises(ModelUnavailable):
        GgufEmbedder(model=str(folder / "none-there.gguf"))
    with pytest.raises(InputError, match="the model reads 128 tokens"):
        GgufEmbedder(model=str(bert), length=129)
    with pytest.raises(InputError, match="no pooling is named 'max'"):
        GgufEmbedder(model=str(bert), pooling="max")
    with pytest.raises(UnsupportedCapability, match="no head"):
        GgufEmbedder(model=str(bert), pooling="rank")
    with pytest.raises(ConfigError, match="ranks texts"):
        GgufEmbedder(model=str(ranker))
    with pytest.raises(ConfigError):
        GgufEmbedder(model=str(bert), threads=-1)
    odd = TinyEncoder(pooling=7).write(folder / "odd.gguf")
    with pytest.raises(ModelError, match="names a pooling 7"):
        GgufEmbedder(model=str(odd))


def test_bad_sequences_never_reach_llama(bert: Path) -> None:
    encoder = Encoder(bert, encoding(read_header(bert), length=8), threads=1)
    for tokens in ([], [2] * 9, [-1], [10_000]):
        with pytest.raises(InputError):
            encoder.encode([tokens])
    assert encoder.encode([[2] * 8] * 200).shape == (200, 64)
    assert encoder.encode([]).shape == (0, 64)
    encoder.close()
    encoder.close()
    with pytest.raises(GenerationError, match="closed"):
        encoder.encode([[2]])


def test_a_file_is_tried_in_another_process(folder: Path, bert: Path) -> None:
    probe.check_loads(bert, pooling="mean")
    data = bytearray(bert.read_bytes())
    at = data.index(b"bert.attention.head_count") + len(b"bert.attention.head_count") + 4
    data[at : at + 4] = (0).to_bytes(4, "little")
    broken = folder / "broken.gguf"
    broken.write_bytes(data)
    with pytest.raises(ModelError, match=r"llama\.cpp"):
        GgufEmbedder(model=str(broken)).embed_documents(["x"])
