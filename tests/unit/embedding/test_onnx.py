from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ragstack.embedding import bert_graph, graph_store
from ragstack.embedding.bert_graph import BertShape
from ragstack.embedding.graph_store import Recipe
from ragstack.embedding.onnx import MODELS, OnnxEmbedder, OnnxModel
from ragstack.embedding.wordpiece import WordPiece
from ragstack.errors import ConfigError, ModelError, ModelUnavailable, UnknownModel
from ragstack.testing.embedders import EmbedderSuite, TokenCounterSuite, TokenEmbedderSuite

SHAPE = BertShape(heads=4)
LENGTH = 32
TEXTS = ["the tenant pays for damage", "qui paie ?", "x" * 30]


@pytest.fixture(scope="session")
def tiny_model(
    tiny_folder: Path,
    tiny_tensors: Mapping[str, NDArray[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> OnnxModel:
    folder = tmp_path_factory.mktemp("reference")
    bert_graph.save(folder, tiny_tensors, SHAPE)
    session = graph_store.open_session(folder)
    ids = WordPiece(tiny_folder / "tokenizer.json").ids(TEXTS, length=LENGTH)
    vectors = [graph_store.embed(session, [row])[0].tolist() for row in ids]
    reference = folder / "reference.json"
    reference.write_text(json.dumps({"texts": TEXTS, "vectors": vectors}))
    return OnnxModel(
        digest="0123456789abcdef" * 4,
        dimensions=16,
        shape=SHAPE,
        length=LENGTH,
        reference=reference,
        folder=tiny_folder,
    )


class _Tiny:
    precision = "fp32"
    model: OnnxModel

    @pytest.fixture(autouse=True)
    def _with_model(self, tiny_model: OnnxModel) -> None:
        self.model = tiny_model

    def make(self) -> OnnxEmbedder:
        return OnnxEmbedder(
            model="tiny", precision=self.precision, batch_tokens=64, table={"tiny": self.model}
        )


class TestFp32(_Tiny, EmbedderSuite):
    pass


class TestInt8(_Tiny, EmbedderSuite):
    precision = "int8"
    tolerance = 0.0  # each text is a batch of its own


class TestTokens(_Tiny, TokenEmbedderSuite):
    pass


class TestCounter(_Tiny, TokenCounterSuite):
    pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAGSTACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def _tiny(model: OnnxModel, **options: Any) -> OnnxEmbedder:
    return OnnxEmbedder(model="tiny", table={"tiny": model}, **options)


def test_nothing_is_loaded_before_it_is_needed(tiny_model: OnnxModel, cache: Path) -> None:
    embedder = _tiny(tiny_model, precision="int8")
    assert embedder.dimensions == 16
    assert embedder.fingerprint == "onnx:tiny:0123456789abcdef:v2:int8:mean:32"
    assert not cache.exists()
    embedder.count("the roof")
    assert [path.name for path in cache.iterdir()] == ["tiny-0123456789ab-int8-v2"]


def test_the_graph_is_built_once(tiny_model: OnnxModel, cache: Path) -> None:
    first = _tiny(tiny_model).embed_queries(TEXTS)
    gone = dataclasses.replace(tiny_model, folder=cache / "nowhere")
    assert (_tiny(gone).embed_queries(TEXTS) == first).all()


def test_batches_hold_no_more_than_their_tokens(tiny_model: OnnxModel, cache: Path) -> None:
    embedder = _tiny(tiny_model, batch_tokens=40, precision="fp32")
    lengths = [30, 3, 20, 19, 4, 4, 10, 32]
    batches = list(embedder._batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= 40
    assert len(batches) < len(lengths)
    alone = _tiny(tiny_model, batch_tokens=40, precision="int8")
    assert [len(batch) for batch in alone._batches(lengths)] == [1] * len(lengths)


def test_only_the_first_tokens_of_a_long_text_count(tiny_model: OnnxModel, cache: Path) -> None:
    rows = _tiny(tiny_model).embed_documents(["the roof " * 15, "the roof " * 15 + "qui paie"])
    assert rows[0] == pytest.approx(rows[1], abs=1e-6)


def test_more_texts_than_a_window(tiny_model: OnnxModel, cache: Path) -> None:
    embedder = _tiny(tiny_model)
    texts = [f"the {number % 7}" for number in range(1_500)]
    rows = embedder.embed_documents(texts)
    assert rows[1_400] == pytest.approx(embedder.embed_queries(["the 0"])[0], abs=1e-5)


def test_a_base_of_an_earlier_release_keeps_its_vectors(tiny_model: OnnxModel, cache: Path) -> None:
    newest = _tiny(tiny_model, precision="fp32", dimensions=8)
    recorded = newest.fingerprint.replace(":v2:", ":v1:")
    earlier = newest.as_of(recorded)
    assert earlier.fingerprint == recorded
    assert newest.as_of(recorded) is earlier
    assert newest.as_of(newest.fingerprint) is newest.as_of("onnx:another") is newest
    first, second = earlier.embed_queries(["who pays"]), newest.embed_queries(["who pays"])
    assert first == pytest.approx(second, abs=1e-5)
    assert sorted(path.name[-7:] for path in cache.iterdir()) == ["fp32-v1", "fp32-v2"]
    newest.close()


def test_use_after_close_loads_again(tiny_model: OnnxModel, cache: Path) -> None:
    embedder = _tiny(tiny_model)
    before = embedder.embed_documents(TEXTS)
    embedder.close()
    assert embedder.embed_documents(TEXTS) == pytest.approx(before)


def test_other_weights_are_refused(tiny_model: OnnxModel, cache: Path, tmp_path: Path) -> None:
    data = json.loads(tiny_model.reference.read_text())
    data["vectors"] = np.roll(data["vectors"], 1, axis=0).tolist()
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(data))
    with pytest.raises(ModelError, match=r"expected 0\.999 or more"):
        _tiny(dataclasses.replace(tiny_model, reference=wrong), precision="fp32").count("x")
    assert list(cache.iterdir()) == []
    with pytest.raises(ModelError, match='precision = "fp32"'):
        _tiny(dataclasses.replace(tiny_model, reference=wrong), precision="int8").count("x")


def test_a_model_that_is_not_here_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelUnavailable, match="all-minilm-l6-v2"):
        OnnxEmbedder(pull=False).embed_queries(["x"])


def test_a_broken_graph_is_named(tiny_model: OnnxModel, cache: Path) -> None:
    _tiny(tiny_model).count("x")
    (folder,) = cache.iterdir()
    (folder / "graph.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot open the graph"):
        _tiny(tiny_model).embed_queries(["x"])


def test_a_file_in_the_way_is_named(tiny_model: OnnxModel, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    with pytest.raises(ModelError, match="cannot be kept in"):
        _tiny(tiny_model).count("x")


def test_what_a_killed_build_left_is_swept(tiny_model: OnnxModel, cache: Path) -> None:
    old, fresh = cache / ".tiny-0-fp32-v2-old", cache / ".tiny-0-fp32-v2-fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 7_200,) * 2)
    _tiny(tiny_model).count("x")
    assert not old.exists()
    assert fresh.exists()


def _build(root: str, model: OnnxModel, answer: Any) -> None:
    data = json.loads(model.reference.read_text())
    recipe = Recipe(
        name="tiny",
        digest=model.digest,
        shape=model.shape,
        precision="fp32",
        length=model.length,
        reference=(data["texts"], np.array(data["vectors"], dtype=np.float32)),
    )
    assert model.folder is not None
    files = (model.folder / "model.safetensors", model.folder / "tokenizer.json")
    answer.put(str(graph_store.prepare(Path(root), recipe, files=lambda: files)))


def test_two_processes_may_build_at_once(tiny_model: OnnxModel, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    root = tmp_path / "graphs"
    workers = [
        context.Process(target=_build, args=(str(root), tiny_model, answers)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    places = {answers.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert places == {str(root / "tiny-0123456789ab-fp32-v2")}
    assert [path.name for path in root.iterdir()] == ["tiny-0123456789ab-fp32-v2"]


def test_a_second_build_yields_to_the_first(tiny_model: OnnxModel, cache: Path) -> None:
    _tiny(tiny_model).count("x")
    (place,) = cache.iterdir()
    made = cache / "made"
    shutil.copytree(place, made)
    graph_store._publish(made, place)
    (place / "manifest.json").unlink()
    with pytest.raises(OSError, match="not empty"):
        graph_store._publish(made, place)


def test_auto_is_int8(tiny_model: OnnxModel) -> None:
    assert _tiny(tiny_model).fingerprint == _tiny(tiny_model, precision="int8").fingerprint


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "bert"}, UnknownModel, "known: all-minilm-l6-v2"),
        ({"precision": "int4"}, ConfigError, "'int4'"),
        ({"threads": -1}, ConfigError, "threads"),
        ({"batch_tokens": 0}, ConfigError, "batch_tokens"),
    ],
)
def test_options_are_checked(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        OnnxEmbedder(**options)


def test_the_models_have_their_references() -> None:
    for model in MODELS.values():
        data = json.loads(model.reference.read_text("utf-8"))
        assert data["weights"] == model.digest
        assert data["length"] == model.length
        rows = np.array(data["vectors"])
        assert rows.shape == (len(data["texts"]), model.dimensions)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-3)
