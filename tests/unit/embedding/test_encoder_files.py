from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragstack.embedding.encoder_files import (
    Asked,
    Reading,
    choose_graph,
    find_graph,
    merged,
    read_folder,
)
from ragstack.errors import ConfigError, ModelError, ModelUnavailable

FILES: dict[str, Any] = {
    "modules.json": [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ],
    "1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
    "sentence_bert_config.json": {"max_seq_length": 384},
    "config_sentence_transformers.json": {"prompts": {"query": "find: ", "document": "text: "}},
    "tokenizer_config.json": {"model_max_length": 512},
    "config.json": {"max_position_embeddings": 514, "model_type": "bert", "pad_token_id": 0},
}


def written(folder: Path, **changes: Any) -> Path:
    for name, value in {
        **FILES,
        **{key.replace("__", "/"): v for key, v in changes.items()},
    }.items():
        if value is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(value), "utf-8")
    return folder


def test_all_is_read_of_the_files(tmp_path: Path) -> None:
    assert read_folder(written(tmp_path)) == Reading("cls", "find: ", "text: ", 384)


def test_an_empty_folder_says_nothing(tmp_path: Path) -> None:
    assert read_folder(tmp_path) == Reading("", "", "", 512)


@pytest.mark.parametrize(
    ("config", "tokenizer", "length"),
    [
        ({"max_position_embeddings": 512, "model_type": "bert"}, {}, 512),
        (
            {"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1},
            {"model_max_length": 1e30},
            512,
        ),
        ({"max_position_embeddings": 8192}, {"model_max_length": 2048}, 2048),
        ({}, {"model_max_length": True}, 512),
    ],
)
def test_the_length_is_the_shortest_that_is_stated(
    tmp_path: Path, config: Any, tokenizer: Any, length: int
) -> None:
    changes = {
        "sentence_bert_config.json": None,
        "config.json": config,
        "tokenizer_config.json": tokenizer,
    }
    assert read_folder(written(tmp_path, **changes)).length == length


@pytest.mark.parametrize(
    ("pooling", "found"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_poolings_by_their_spellings(tmp_path: Path, pooling: Any, found: str) -> None:
    assert read_folder(written(tmp_path, **{"1_Pooling__config.json": pooling})).pooling == found


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode": "weightedmean"},
        {"word_embedding_dimension": 384},
    ],
)
def test_other_poolings_are_refused(tmp_path: Path, pooling: Any) -> None:
    with pytest.raises(ModelError, match="not run here") as caught:
        read_folder(written(tmp_path, **{"1_Pooling__config.json": pooling}))
    assert "sentence_transformers" in caught.value.hint


def test_a_layer_behind_the_graph_is_refused(tmp_path: Path) -> None:
    modules = [*FILES["modules.json"], {"path": "3", "type": "sentence_transformers.models.Dense"}]
    with pytest.raises(ModelError, match="'Dense' behind its graph"):
        read_folder(written(tmp_path, **{"modules.json": modules}))


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_broken_files_are_named(tmp_path: Path, text: str) -> None:
    written(tmp_path)
    (tmp_path / "config_sentence_transformers.json").write_text(text)
    with pytest.raises(ModelError, match="config_sentence_transformers"):
        read_folder(tmp_path)


def test_options_stand_in_place_of_the_files() -> None:
    found = Reading("cls", "find: ", "text: ", 384)
    assert merged(found, Asked()) == found
    assert merged(found, Asked("mean", "", "p: ", 128)) == Reading("mean", "", "p: ", 128)
    with pytest.raises(ConfigError, match="reads 384 tokens"):
        merged(found, Asked(length=385))


@pytest.mark.parametrize("options", [{"pooling": "max"}, {"length": -1}, {"length": 7}])
def test_options_are_checked(options: Any) -> None:
    with pytest.raises(ConfigError):
        Asked(**options)


def test_which_graph(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no ONNX graph"):
        find_graph(tmp_path)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "odd.onnx").touch()
    assert find_graph(tmp_path) == tmp_path / "onnx" / "odd.onnx"
    (tmp_path / "other.onnx").touch()
    with pytest.raises(ConfigError, match=r"onnx/odd\.onnx, other\.onnx"):
        find_graph(tmp_path)
    assert find_graph(tmp_path, "other.onnx") == tmp_path / "other.onnx"
    (tmp_path / "model.onnx").touch()
    assert find_graph(tmp_path) == tmp_path / "model.onnx"
    with pytest.raises(ModelUnavailable, match=r"no graph 'x\.onnx'"):
        choose_graph(["a.onnx"], "x.onnx", origin="some/repo")
