from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ragstack.embedding.splade import SpladeEmbedder
from ragstack.errors import ConfigError, ModelError
from ragstack.index.sparse import SparseIndex
from ragstack.testing.indexes import chunk_of
from ragstack.testing.sparse import SparseEmbedderSuite

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "rose", "lily", "flower", "stone", "the", "."]
# Each word speaks of itself, a rose and a lily of flowers too; special tokens of nothing.
LOGITS = np.diag([0, 0, 0, 0, 3, 3, 3, 3, -1, -1]).astype(np.float32)
LOGITS[4, 6] = LOGITS[5, 6] = 1.0


def model(folder: Path, *, inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> Path:
    """Write a masked language model that looks each token up in a table of logits."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["logits"])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "s", len(WORDS)])],
        [numpy_helper.from_array(LOGITS, "table")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    onnx.save(made, folder / "onnx" / "model.onnx")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "normalizer": {"type": "Lowercase"},
                "pre_tokenizer": {"type": "BertPreTokenizer"},
                "added_tokens": [],
                "model": {
                    "type": "WordPiece",
                    "vocab": vocabulary,
                    "unk_token": "[UNK]",
                    "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                },
            }
        )
    )
    return folder


class TestSplade(SparseEmbedderSuite):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.place = model(tmp_path)

    def make(self) -> SpladeEmbedder:
        return SpladeEmbedder(folder=str(self.place))

    def test_terms_and_weights(self) -> None:
        made = self.make()
        found = made.embed_documents(["The rose . rose", "stone", "the"])
        assert found[0] == {4: pytest.approx(np.log(4)), 6: pytest.approx(np.log(2))}
        assert found[1] == {7: pytest.approx(np.log(4))}
        assert found[2] == {}
        made.close()
        made.close()
        assert made.embed_queries(["stone"]) == [found[1]]


def test_a_word_that_is_not_there_is_found(tmp_path: Path) -> None:
    index = SparseIndex(
        tmp_path / "index", sparse_embedder=SpladeEmbedder(folder=str(model(tmp_path / "m")))
    )
    index.add([chunk_of("a", "the rose"), chunk_of("b", "the stone"), chunk_of("c", "lily lily")])
    (hits,) = index.search(["flower"], k=5)
    assert [hit.chunk_id[0] for hit in hits] == ["a", "c"]
    index.close()


def test_only_the_heaviest_terms_are_kept(tmp_path: Path) -> None:
    embedder = SpladeEmbedder(folder=str(model(tmp_path)), terms=2)
    assert set(embedder.embed_documents(["rose lily stone"])[0]) == {4, 5}
    assert embedder.fingerprint != SpladeEmbedder(folder=str(tmp_path)).fingerprint


@pytest.mark.parametrize("missing", ["", "tokenizer.json", "onnx/model.onnx"])
def test_a_folder_without_a_model(tmp_path: Path, missing: str) -> None:
    model(tmp_path)
    if missing:
        (tmp_path / missing).unlink()
    with pytest.raises(ConfigError, match="holds no SPLADE model"):
        SpladeEmbedder(folder=str(tmp_path) if missing else "")


def test_what_is_no_such_model(tmp_path: Path) -> None:
    model(tmp_path, inputs=("input_ids", "pixels"))
    with pytest.raises(ModelError, match="takes input_ids, pixels"):
        SpladeEmbedder(folder=str(tmp_path)).embed_queries(["rose"])
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        SpladeEmbedder(folder=str(tmp_path)).embed_queries(["rose"])
