"""A collection's indexes and the configuration of searches in, one index that fuses them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ragstack.config import RetrieveConfig
from ragstack.embedding.cosines import cosine_weight
from ragstack.index.calibration import Calibration
from ragstack.index.hybrid import HybridIndex
from ragstack.protocols import Index

__all__ = ["fused", "some_of"]


def some_of(indexes: Mapping[str, Index], slots: Sequence[str]) -> dict[str, Index]:
    """Return the indexes of these slots; all of them where none is named."""
    return {slot: index for slot, index in indexes.items() if not slots or slot in slots}


def fused(
    indexes: Mapping[str, Index],
    retrieve: RetrieveConfig,
    folder: Path,
    *,
    fingerprint: str,
    partial: bool,
) -> HybridIndex:
    """Return the indexes as one.

    Args:
        folder: Of the base; a calibration's relative path is of it.
        fingerprint: Of the embedder: models differ in how far their cosines lie apart, and so in
            what the slot ``vector`` weighs where the configuration names no weights.
        partial: They are not all the collection has: a calibration, which is of all of them
            together, does not hold, and weights of others are left out.
    """
    weights, fusion = retrieve.weights, retrieve.fusion
    if partial:
        fusion = "weighted" if fusion == "calibrated" else fusion
        weights = {slot: weight for slot, weight in weights.items() if slot in indexes}
    if fusion == "weighted" and not weights and "vector" in indexes:
        weights = {"vector": cosine_weight(fingerprint)}
    calibration = None
    if retrieve.calibration and fusion == "calibrated":
        calibration = Calibration.read(folder / retrieve.calibration)
    return HybridIndex(
        indexes,
        fusion=fusion,
        constant=retrieve.constant,
        weights=weights,
        calibration=calibration,
    )
