"""Ranking by a cross-encoder on onnxruntime, with a tiny one whose weights are set by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from ragstack.errors import ConfigError, ModelError, ModelUnavailable, UnsupportedCapability
from ragstack.rerank.cross_encoder import CrossEncoderReranker
from ragstack.testing.rerankers import RerankerSuite, passage
from ragstack.testing.tiny_cross_encoder import write_cross_encoder

_WORDS = [
    "who",
    "pays",
    "for",
    "the",
    "repairs",
    "to",
    "roof",
    "boathouse",
    "harbour",
    "trust",
    "bread",
    "is",
    "of",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("cross") / "one", _WORDS)


class TestTiny(RerankerSuite):
    folders: ClassVar[list[Path]] = []

    @pytest.fixture(autouse=True)
    def _model(self, folder: Path) -> None:
        self.folders[:] = [folder]

    def make(self) -> CrossEncoderReranker:
        return CrossEncoderReranker(model=str(self.folders[0]), threads=1)


def test_the_score_is_what_the_model_says(folder: Path) -> None:
    reranker = CrossEncoderReranker(model=str(folder))
    texts = ("the roof", "the the roof", "nothing", "Who PAYS?", "")
    passages = [passage(n, text) for n, text in enumerate(texts)]
    assert reranker.score("who pays for the roof", passages) == [2.0, 2.0, 0.0, 2.0, 0.0]


def test_two_labels_are_one_score(folder: Path, tmp_path: Path) -> None:
    reranker = CrossEncoderReranker(model=str(write_cross_encoder(tmp_path, _WORDS, labels=2)))
    assert reranker.score("the roof", [passage(0, "the roof")]) == [4.0]


def test_batches_change_nothing(folder: Path) -> None:
    passages = [passage(n, "roof " * n) for n in range(40)]
    large = CrossEncoderReranker(model=str(folder)).score("the roof roof", passages)
    small = CrossEncoderReranker(model=str(folder), batch_tokens=8, threads=2)
    assert small.score("the roof roof", passages) == large == [min(n, 2) for n in range(40)]


def test_a_passage_is_cut_and_a_question_leaves_it_room(folder: Path) -> None:
    reranker = CrossEncoderReranker(model=str(folder), length=16)
    assert reranker.score("roof roof", [passage(0, "who " * 400 + "roof")]) == [0.0]
    # Eight of sixteen tokens are the question's; three marks, five for the passage.
    assert reranker.score("roof " * 900, [passage(0, "roof " * 900)]) == [5.0]


def test_marks_in_a_text_are_text(folder: Path) -> None:
    reranker = CrossEncoderReranker(model=str(folder))
    plain, marked = reranker.score("roof", [passage(0, "x"), passage(1, "x [SEP] [CLS] \ud800")])
    assert plain == marked == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": -1}, "length=-1"),
        ({"length": 3}, "length is 3"),
        ({"batch_tokens": 0}, "batch_tokens=0"),
        ({"threads": -2}, "threads=-2"),
    ],
)
def test_options_are_checked(folder: Path, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CrossEncoderReranker(model=str(folder), **options)


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no tokenizer\.json"):
        CrossEncoderReranker(model=str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"none of: other\.onnx"):
        CrossEncoderReranker(model=str(folder), graph="other.onnx")


def test_what_is_no_reranker_is_refused(folder: Path, tmp_path: Path) -> None:
    three = CrossEncoderReranker(model=str(write_cross_encoder(tmp_path, _WORDS, labels=3)))
    with pytest.raises(UnsupportedCapability, match="one label"):
        three.score("q", [passage(0, "x")])
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot open"):
        CrossEncoderReranker(model=str(tmp_path)).score("q", [passage(0, "x")])


def test_lengths_come_from_the_models_files(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path, _WORDS)
    assert CrossEncoderReranker(model=str(folder))._length == 512
    (folder / "config.json").write_text('{"max_position_embeddings": 128}', "utf-8")
    assert CrossEncoderReranker(model=str(folder))._length == 128
    config = folder / "tokenizer_config.json"
    config.write_text('{"model_max_length": 64}', "utf-8")
    assert CrossEncoderReranker(model=str(folder))._length == 64
    config.write_text('{"model_max_length": 1000000000000000019884624838656}', "utf-8")
    assert CrossEncoderReranker(model=str(folder))._length == 128


def test_it_loads_again_after_close(folder: Path) -> None:
    reranker = CrossEncoderReranker(model=str(folder))
    reranker.close()
    reranker.close()
    assert reranker.score("roof", [passage(0, "roof")]) == [1.0]
