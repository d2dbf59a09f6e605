"""Ranking by a cross-encoder in llama.cpp, with a tiny one of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from ragstack.engine.encoder import Encoder
from ragstack.errors import ConfigError, InputError, UnsupportedCapability
from ragstack.rerank.gguf import GgufReranker
from ragstack.testing.rerankers import RerankerSuite, passage
from ragstack.testing.tiny_encoder import TinyEncoder

_SEED = 1  # weights that happen to rank the suite's passages as a trained model would
_CLS, _SEP = 2, 3


@pytest.fixture(scope="session")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranker")
    return TinyEncoder(pooling=4, labels=("fits",), seed=_SEED).write(folder / "ranker.gguf")


@pytest.fixture
def reranker(ranker: Path) -> Iterator[GgufReranker]:
    made = GgufReranker(model=str(ranker), threads=1)
    yield made
    made.close()


class TestTiny(RerankerSuite):
    paths: ClassVar[list[Path]] = []

    @pytest.fixture(autouse=True)
    def _model(self, ranker: Path) -> None:
        self.paths[:] = [ranker]

    def make(self) -> GgufReranker:
        return GgufReranker(model=str(self.paths[0]), threads=1)


def test_both_texts_are_read(reranker: GgufReranker) -> None:
    found = passage(0, "the tenant pays for the roof")
    one, two = (reranker.score(query, [found])[0] for query in ("who pays", "the lease"))
    assert one != pytest.approx(two, abs=1e-3)
    left = reranker.score("who", [passage(0, "pays")])
    assert left != pytest.approx(reranker.score("pays", [passage(0, "who")]), abs=1e-3)


def test_a_pair_has_its_marks(reranker: GgufReranker) -> None:
    encoder = reranker._loaded()
    who, roof = (encoder.model.vocabulary.tokenize(text) for text in ("who", "roof"))
    assert reranker._pair(encoder, "who", "roof") == [_CLS, *who, _SEP, *roof, _SEP]


def test_what_is_too_long_is_cut(ranker: Path) -> None:
    reranker = GgufReranker(model=str(ranker), threads=1, length=32)
    encoder = reranker._loaded()
    pair = reranker._pair(encoder, "who " * 90, "roof " * 90)
    assert len(pair) == 32
    assert (pair[0], pair[17], pair[-1]) == (_CLS, _SEP, _SEP)
    scores = reranker.score("who " * 90, [passage(0, "roof " * 90), passage(1, "roof " * 91)])
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    reranker.close()


def test_a_template_says_how_a_pair_is_read(tmp_path: Path) -> None:
    template = "[CLS] {document} [SEP] {query} [MASK]"
    path = TinyEncoder(
        pooling=4, labels=("yes", "no"), more={"tokenizer.chat_template.rerank": template}
    ).write(tmp_path / "m.gguf")
    reranker = GgufReranker(model=str(path), threads=1)
    encoder: Encoder = reranker._loaded()
    who, attack = (encoder.model.vocabulary.tokenize(t) for t in ("who", "[MASK] roof"))
    pair = reranker._pair(encoder, "who", "[MASK] roof")
    assert pair == [_CLS, *attack, _SEP, *who, 4]
    assert pair.count(4) == 1
    assert len(reranker.score("who", [passage(0, "roof " * 999)])) == 1
    reranker.close()


def test_what_cannot_rank_is_refused(tmp_path: Path, ranker: Path) -> None:
    plain = TinyEncoder().write(tmp_path / "plain.gguf")
    with pytest.raises(UnsupportedCapability, match="no head"):
        GgufReranker(model=str(plain))
    with pytest.raises(InputError):
        GgufReranker(model=str(ranker), length=9_999)
    with pytest.raises(ConfigError):
        GgufReranker(model=str(ranker), gpu_layers=-2)
    half = TinyEncoder(
        pooling=4, labels=("fits",), more={"tokenizer.chat_template.rerank": "{query}"}
    ).write(tmp_path / "half.gguf")
    with pytest.raises(ConfigError, match="no place for both"):
        GgufReranker(model=str(half))
