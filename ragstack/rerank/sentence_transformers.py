"""Passages in, scores out by any cross-encoder of sentence-transformers (extra ``torch``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentence_transformers import CrossEncoder

from ragstack.errors import ConfigError, ModelUnavailable, UnsupportedCapability
from ragstack.types import Passage

__all__ = ["SentenceTransformersReranker"]


class SentenceTransformersReranker:
    """A Reranker: the model's head before any squashing, higher for what answers."""

    def __init__(
        self, *, model: str, revision: str = "", device: str = "", batch: int = 32, length: int = 0
    ) -> None:
        """Load a model.

        Args:
            model: A name on the hub, or a folder.
            revision: A commit of the hub's repository; empty takes the newest.
            device: ``cpu``, ``cuda``, …; empty takes the best there is.
            batch: Pairs run at once.
            length: Tokens of question and passage together; 0 is the model's own.

        Raises:
            ModelUnavailable: It cannot be fetched or read.
            UnsupportedCapability: It gives more than one label.
            ConfigError: A batch below 1 or a length below 0.
        """
        if batch < 1 or length < 0:
            raise ConfigError(f"batch={batch!r}, length={length!r}: expected at least 1 and 0")
        try:
            self._model: Any = CrossEncoder(
                model,
                revision=revision or None,
                device=device or None,
                max_length=length or None,
            )
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"sentence-transformers cannot load the cross-encoder {model!r}: {error}",
                hint="expected a model of the hub, or a folder that holds one",
            ) from error
        labels = self._model.config.num_labels
        if labels != 1:
            raise UnsupportedCapability(f"{model!r} gives {labels} labels; a reranker gives one")
        self._batch = batch

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return one score for each passage, in order; higher is better."""
        if not passages:
            return []
        pairs = [(query, passage.chunk.indexed_text) for passage in passages]
        scores = self._model.predict(pairs, batch_size=self._batch, show_progress_bar=False)
        return [float(score) for score in scores]
