"""Any model that sentence-transformers runs: here one of random weights, made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragstack.errors import ModelUnavailable
from ragstack.testing.embedders import EmbedderSuite, TokenCounterSuite

library = pytest.importorskip(
    "sentence_transformers", reason='the extra "torch" is not installed', exc_type=ImportError
)

pytestmark = [
    pytest.mark.integration,
    # Third parties' own: torch and transformers warn about each other.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:?!'()[]|<>_=*+-/’"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "word", "tenant"]
    vocabulary += [*letters, *(f"##{letter}" for letter in letters)]
    tokenizer = transformers.BertTokenizerFast(vocab={w: n for n, w in enumerate(vocabulary)})
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    bert = transformers.BertModel(config)
    bert.save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    made = library.SentenceTransformer(str(folder / "bert"), device="cpu")
    made.max_seq_length = 48
    made.save(str(folder / "saved"))
    return folder / "saved"


@pytest.fixture(autouse=True)
def _given_model(request: pytest.FixtureRequest, model_folder: Path) -> Iterator[None]:
    if request.cls is not None:
        request.cls.folder = model_folder
    yield


def _make(folder: Path) -> Any:
    # Imported here because the extra is needed for it.
    from ragstack.embedding.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(model=str(folder), device="cpu", batch=4)


class TestEmbedder(EmbedderSuite):
    folder: Path

    def make(self) -> Any:
        return _make(self.folder)


class TestCounter(TokenCounterSuite):
    folder: Path

    def make(self) -> Any:
        return _make(self.folder)


def test_the_fingerprint_follows_the_weights(model_folder: Path, tmp_path: Path) -> None:
    first = _make(model_folder)
    changed = tmp_path / "saved"
    library.SentenceTransformer(str(model_folder), device="cpu").save(str(changed))
    assert _make(changed).fingerprint.startswith("sentence_transformers:saved:")
    (weights,) = changed.rglob("*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert _make(changed).fingerprint != first.fingerprint


def test_rows_are_the_librarys(model_folder: Path) -> None:
    texts = ["the tenant", "a word of the tenant"]
    expected = library.SentenceTransformer(str(model_folder), device="cpu").encode(
        texts, normalize_embeddings=True
    )
    assert _make(model_folder).embed_documents(texts) == pytest.approx(
        np.asarray(expected), abs=1e-5
    )


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot load"):
        _make(tmp_path / "nowhere")
