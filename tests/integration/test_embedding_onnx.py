"""The real all-MiniLM-L6-v2, built from its weights into the user's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ragstack.embedding.encoders import _reference
from ragstack.embedding.onnx import MODELS, OnnxEmbedder

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["fp32", "int8"])
def minilm(request: pytest.FixtureRequest) -> Iterator[OnnxEmbedder]:
    made = OnnxEmbedder(precision=request.param)
    yield made
    made.close()


def test_vectors_are_the_publishers(minilm: OnnxEmbedder) -> None:
    texts, expected = _reference(MODELS["all-minilm-l6-v2"].reference)
    cosine = (minilm.embed_documents(texts) * expected).sum(axis=1)
    assert cosine.min() > (0.9999 if ":fp32:" in minilm.fingerprint else 0.98)


def test_meaning_is_found_without_shared_words(minilm: OnnxEmbedder) -> None:
    documents = ["The feline slept on the sofa.", "Interest rates rose again in May."]
    rows = minilm.embed_documents(documents)
    asked = minilm.embed_queries(["Where is the cat?", "What did the central bank do?"])
    assert (asked @ rows.T).argmax(axis=1).tolist() == [0, 1]


def test_tokens_are_those_of_the_model(minilm: OnnxEmbedder) -> None:
    text = "Naïve embeddings, 7,80 €."
    spans = minilm.offsets(text)
    assert [text[start:end] for start, end in spans] == [
        *("Naïve", "em", "bed", "ding", "s", ",", "7", ",", "80", "€", ".")
    ]
    assert minilm.count(text) == len(spans)


def test_a_query_and_a_batch_agree(minilm: OnnxEmbedder) -> None:
    texts = [f"Clause {number}: the tenant pays {number} euros. " * number for number in range(30)]
    together = minilm.embed_documents(texts)
    alone = np.concatenate([minilm.embed_queries([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5
