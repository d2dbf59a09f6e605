"""Published graphs, tiny ones: made here, run by the real onnxruntime and tokenizers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from ragstack.embedding.encoder_graph import EncoderGraph, is_shared_scale, pool
from ragstack.embedding.encoders import ENCODERS
from ragstack.embedding.onnx import OnnxEmbedder
from ragstack.embedding.wordpiece import OwnTokens
from ragstack.errors import ConfigError, ModelError, ModelUnavailable, UnknownModel
from ragstack.models.table import TABLE
from ragstack.testing.embedders import EmbedderSuite, TokenCounterSuite, TokenEmbedderSuite

WIDTH = 12
SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;?!'()[]<>|_-=+*/"


def vocabulary() -> dict[str, int]:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "▁", *SIGNS, *(f"▁{sign}" for sign in SIGNS), "▁the"]
    return {token: number for number, token in enumerate(tokens)}


def save_graph(path: Path, *, output: str = "last_hidden_state", rank: int = 3) -> None:
    """Write a graph that looks each token up in a table; of rank 2 it takes the largest."""
    rows = np.random.default_rng(3).normal(size=(len(vocabulary()), WIDTH)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    if rank == 2:
        nodes.append(helper.make_node("ReduceMax", ["rows"], [output], axes=[1], keepdims=0))
    else:
        nodes.append(helper.make_node("Identity", ["rows"], [output]))
    shape = ["batch", "tokens", WIDTH] if rank == 3 else ["batch", WIDTH]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "tokens"])
    graph = helper.make_graph(
        nodes,
        "tiny",
        [ids, mask],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(rows, "table")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, str(path))


def save_tokenizer(path: Path) -> None:
    tokenizer = Tokenizer(
        models.BPE(vocabulary(), [("▁", sign) for sign in "abcdefghij"], unk_token="<unk>")
    )
    strip = normalizers.Strip(left=False, right=True)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), strip])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_truncation(6)
    tokenizer.save(str(path))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "tiny-e5"
    save_graph(folder / "onnx" / "model.onnx")
    save_tokenizer(folder / "tokenizer.json")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    prompts = {"prompts": {"query": "q: ", "document": "p: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder


class _Published:
    folder: Path
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _with_folder(self, published: Path) -> None:
        self.folder = published

    def make(self) -> OnnxEmbedder:
        return OnnxEmbedder(model=str(self.folder), **self.options)


class TestPublished(_Published, EmbedderSuite):
    pass


class TestCut(_Published, EmbedderSuite):
    options: ClassVar[dict[str, Any]] = {"dimensions": 8}


class TestTokens(_Published, TokenEmbedderSuite):
    pass


class TestCounter(_Published, TokenCounterSuite):
    pass


def test_vectors_are_what_the_files_say(published: Path) -> None:
    embedder = OnnxEmbedder(model=str(published))
    tokenizer = Tokenizer.from_file(str(published / "tokenizer.json"))
    tokenizer.no_truncation()
    table = numpy_helper.to_array(
        onnx.load(str(published / "onnx" / "model.onnx")).graph.initializer[0]
    )
    for row, text in (
        (embedder.embed_queries(["the roof"])[0], "q: the roof"),
        (embedder.embed_documents(["the roof"])[0], "p: the roof"),
    ):
        ids = tokenizer.encode(text).ids
        assert ids[0] == 0 and ids[-1] == 2
        mean = table[ids].mean(axis=0)
        assert row == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_a_long_text_ends_at_the_length_with_its_closing_token(published: Path) -> None:
    short = OnnxEmbedder(model=str(published), length=10, document_prefix="")
    assert short.embed_documents(["abcdefg" + "x" * 90])[0] == pytest.approx(
        short.embed_documents(["abcdefg" + "x" * 40])[0], abs=1e-6
    )


def test_truncated_vectors_are_the_first_numbers_at_length_one(published: Path) -> None:
    whole = OnnxEmbedder(model=str(published)).embed_documents(["a roof"])[0]
    cut = OnnxEmbedder(model=str(published), dimensions=5)
    first = whole[:5] / np.linalg.norm(whole[:5])
    assert cut.dimensions == 5
    assert cut.embed_documents(["a roof"])[0] == pytest.approx(first, abs=1e-5)
    (tokens,) = cut.embed_tokens(["a roof"])
    assert tokens.vectors.shape[1] == 5


def test_binary_vectors_keep_the_signs(published: Path) -> None:
    whole = OnnxEmbedder(model=str(published)).embed_documents(["a roof"])[0]
    signs = OnnxEmbedder(model=str(published), binary=True).embed_documents(["a roof"])[0]
    assert np.abs(signs) == pytest.approx(np.full(WIDTH, WIDTH**-0.5))
    assert ((signs > 0) == (whole >= 0)).all()


def test_all_that_changes_a_vector_is_in_the_fingerprint(published: Path, tmp_path: Path) -> None:
    def of(**options: Any) -> str:
        return OnnxEmbedder(model=str(published), **options).fingerprint

    assert of() == of(threads=1, batch_tokens=64)
    found = {
        of(),
        of(dimensions=4),
        of(binary=True),
        of(pooling="cls"),
        of(length=32),
        of(query_prefix=""),
        of(document_prefix=""),
    }
    assert len(found) == 7
    other = tmp_path / published.name
    save_graph(other / "model.onnx", output="token_embeddings")
    save_tokenizer(other / "tokenizer.json")
    assert OnnxEmbedder(model=str(other), pooling="mean", length=64).fingerprint not in found


def test_a_graph_that_pools_itself(tmp_path: Path) -> None:
    save_graph(tmp_path / "model.onnx", output="sentence_embedding", rank=2)
    save_tokenizer(tmp_path / "tokenizer.json")
    embedder = OnnxEmbedder(model=str(tmp_path))
    assert embedder.embed_documents(["a roof"]).shape == (1, WIDTH)
    assert ":graph:" in embedder.fingerprint
    with pytest.raises(ModelError, match="no token vectors"):
        embedder.embed_tokens(["a roof"])
    with pytest.raises(ConfigError, match="whole texts"):
        _ = OnnxEmbedder(model=str(tmp_path), pooling="mean").dimensions


def test_nobody_says_how_to_pool(tmp_path: Path) -> None:
    save_graph(tmp_path / "model.onnx")
    save_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(ConfigError, match="become one") as caught:
        OnnxEmbedder(model=str(tmp_path)).embed_queries(["x"])
    assert 'pooling = "mean"' in caught.value.hint


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no ONNX graph"):
        OnnxEmbedder(model=str(tmp_path)).embed_queries(["x"])
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelUnavailable, match=r"no tokenizer\.json"):
        OnnxEmbedder(model=str(tmp_path)).embed_queries(["x"])
    save_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match="cannot open the graph"):
        OnnxEmbedder(model=str(tmp_path), pooling="mean").embed_queries(["x"])


def test_it_is_loaded_again_after_close(published: Path) -> None:
    embedder = OnnxEmbedder(model=str(published))
    before = embedder.embed_queries(["the roof"])
    embedder.close()
    assert embedder.embed_queries(["the roof"]) == pytest.approx(before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "berth"}, UnknownModel, "bge-small-en-v1.5"),
        ({"pooling": "mean"}, ConfigError, "in one way"),
        ({"file": "model.onnx"}, ConfigError, "in one way"),
        ({"model": "bge-small-en-v1.5", "precision": "int8"}, ConfigError, "as its file is"),
        ({"model": "bge-small-en-v1.5", "file": "x.onnx"}, ConfigError, "one graph"),
        ({"model": "bge-small-en-v1.5", "length": 600}, ConfigError, "reads 512"),
        ({"model": "bge-small-en-v1.5", "pooling": "max"}, ConfigError, "'max'"),
        ({"dimensions": -1}, ConfigError, "not negative"),
    ],
)
def test_options_are_checked(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        OnnxEmbedder(**options)


def test_more_dimensions_than_there_are() -> None:
    with pytest.raises(ConfigError, match="384 dimensions, got 400"):
        OnnxEmbedder(dimensions=400).embed_queries(["x"])


def test_known_encoders_agree_with_the_model_table() -> None:
    for name, known in ENCODERS.items():
        parts = {part.filename: part for part in TABLE[name].parts}
        assert parts[known.graph].sha256 == known.digest
        assert set(parts) == {known.graph, "tokenizer.json"}
        # Told without the files: a base can be checked where the model is not.
        embedder = OnnxEmbedder(model=name, pull=False)
        assert embedder.dimensions == 384
        assert known.digest[:16] in embedder.fingerprint


def test_pooling_by_hand() -> None:
    tokens = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    mask = np.array([[1, 1, 1], [1, 1, 0]])
    assert pool(tokens, mask, "mean").tolist() == [[2, 3], [7, 8]]
    assert pool(tokens, mask, "cls").tolist() == [[0, 1], [6, 7]]
    assert pool(tokens, mask, "last").tolist() == [[4, 5], [8, 9]]


def test_a_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 3])
    node = helper.make_node("Identity", ["pixels"], ["out"])
    made = helper.make_model(
        helper.make_graph([node], "image", [pixels], [out]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(made, str(tmp_path / "image.onnx"))
    with pytest.raises(ModelError, match="no text encoder"):
        EncoderGraph(tmp_path / "image.onnx", pooling="mean")


def test_graphs_that_round_by_batch_are_seen(published: Path, tmp_path: Path) -> None:
    assert not is_shared_scale(published / "onnx" / "model.onnx")
    (tmp_path / "q.onnx").write_bytes(b"..DynamicQuantizeLinear..")
    assert is_shared_scale(tmp_path / "q.onnx")


def test_own_tokens_of_a_bert_without_its_template(tiny_folder: Path) -> None:
    tokens = OwnTokens(tiny_folder / "tokenizer.json")
    assert (tokens.added, tokens.leading, tokens.pad) == (2, 1, 0)


def test_the_digest_is_of_graph_and_tokenizer(published: Path) -> None:
    state = hashlib.sha256()
    for name in ("onnx/model.onnx", "tokenizer.json"):
        state.update((published / name).read_bytes())
    assert state.hexdigest()[:16] in OnnxEmbedder(model=str(published)).fingerprint
