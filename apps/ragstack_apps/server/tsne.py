"""Vectors in, places on a plane out by t-SNE (van der Maaten and Hinton, 2008), of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.manifold import TSNE

__all__ = ["tsne"]


def tsne(vectors: Any, question: Any | None = None) -> tuple[Any, Any | None]:
    """Return places of shape (n, 2), and the question's, which takes part in the placing."""
    rows = np.asarray(vectors, dtype=np.float32)
    if question is not None:
        rows = np.vstack([rows, np.asarray(question, dtype=np.float32)])
    if len(rows) < 4:
        placed = np.zeros((len(rows), 2))
    else:
        nearest = min(30.0, (len(rows) - 1) / 3)
        placed = TSNE(perplexity=nearest, init="pca", random_state=0).fit_transform(rows)
    return (placed, None) if question is None else (placed[:-1], placed[-1])
