"""Vectors in, places on a plane out, and clusters. Principal components; no more than numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["clusters", "pca"]

_ROUNDS = 20


def pca(vectors: Any, question: Any | None = None) -> tuple[Any, Any | None]:
    """Return each row on the two directions in which the rows differ most, by singular values.

    Args:
        question: One more row, placed in the plane of the others.

    Returns:
        Places of shape (n, 2), and the question's of shape (2,).
    """
    rows = np.asarray(vectors, dtype=np.float64)
    centre = rows.mean(axis=0)
    _, _, directions = np.linalg.svd(rows - centre, full_matrices=False)
    plane = np.zeros((2, rows.shape[1]))
    plane[: min(2, len(directions))] = directions[:2]
    # A direction has no sign of its own: the largest part of each points up.
    for axis in plane:
        if axis[np.abs(axis).argmax()] < 0:
            axis *= -1
    placed = (rows - centre) @ plane.T
    return placed, None if question is None else (np.asarray(question) - centre) @ plane.T


def clusters(vectors: Any, count: int) -> list[int]:
    """Return the cluster of each row, by k-means (Lloyd) from the farthest rows on; repeatable."""
    rows = np.asarray(vectors, dtype=np.float64)
    count = max(1, min(count, len(rows)))
    centres = [rows[0]]
    far = np.full(len(rows), np.inf)
    for _ in range(count - 1):
        far = np.minimum(far, ((rows - centres[-1]) ** 2).sum(axis=1))
        centres.append(rows[int(far.argmax())])
    middle = np.array(centres)
    labels = np.zeros(len(rows), dtype=int)
    for _ in range(_ROUNDS):
        labels = ((rows**2).sum(1)[:, None] - 2 * rows @ middle.T + (middle**2).sum(1)).argmin(1)
        fresh = np.array(
            [
                rows[labels == c].mean(axis=0) if (labels == c).any() else middle[c]
                for c in range(count)
            ]
        )
        if np.allclose(fresh, middle):
            break
        middle = fresh
    return [int(label) for label in labels]
