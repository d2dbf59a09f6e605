"""Rows of features and right or wrong in, a logistic regression out, by Newton's method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import InputError

__all__ = ["fit_logistic"]

_STEPS = 50
_STILL = 1e-8

Floats = NDArray[np.float64]


def fit_logistic(
    rows: Floats, right: NDArray[np.bool_], *, ridge: float = 1.0
) -> tuple[float, Floats]:
    """Return the intercept and the weight of each column.

    Iteratively reweighted least squares (McCullagh and Nelder 1989, section 4.4), the weights but
    not the intercept held back by a ridge.

    Args:
        rows: Shape (n, features).
        right: Shape (n,).
        ridge: Added to the curvature of each weight; above 0, so that separable data has a fit.

    Raises:
        InputError: Shapes that do not go together, nothing right or nothing wrong, a ridge not
            above 0.
    """
    if rows.ndim != 2 or right.shape != rows.shape[:1] or not ridge > 0:
        raise InputError(
            f"rows of shape {rows.shape}, answers of shape {right.shape}, ridge={ridge!r}: "
            "expected (n, features), (n,) and a ridge above 0"
        )
    if not right.any() or right.all():
        raise InputError("nothing can be fitted where all is right, or nothing is")
    columns = np.hstack([np.ones((len(rows), 1)), rows])
    penalty = np.full(columns.shape[1], ridge)
    penalty[0] = 0.0
    weights = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        likely = 1.0 / (1.0 + np.exp(-np.clip(columns @ weights, -30, 30)))
        slope = columns.T @ (right - likely) - penalty * weights
        spread = likely * (1.0 - likely)
        curvature = (columns * spread[:, None]).T @ columns + np.diag(penalty)
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), slope)
        weights += step
        if np.abs(step).max() < _STILL:
            break
    return float(weights[0]), weights[1:]
