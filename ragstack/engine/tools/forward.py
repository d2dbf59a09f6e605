"""A model that reads a text once from its beginning, with the logits after every token: for tools.

One context of its own, one sequence, no thread, no cache kept between calls. What serves requests
is elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context, Options
from ragstack.engine.guard import check_fit
from ragstack.engine.model import Model
from ragstack.engine.tools.perplexity import Row
from ragstack.errors import GenerationError

__all__ = ["Forward"]

_BATCH = 128
_SEQUENCE = 0


class Forward:
    """Weights and a window, for one thread at a time.

    Attributes:
        model: The weights and the vocabulary.
        begin: Token to put before a text, None where the model wants none.
    """

    def __init__(
        self,
        path: Path,
        *,
        window: int,
        threads: int = 0,
        batch: int = _BATCH,
        gpu_layers: int = -1,
    ) -> None:
        """Load a model and reserve its window.

        Args:
            window: The most tokens that are read together.
            threads: 0 is one for each physical core.
            batch: Tokens read in one step, each with a row of logits: 0.6 MB a row of a vocabulary
                of 150,000.

        Raises:
            InputError: A size is out of range.
            ModelError: The file cannot be used, or is of a kind that writes no text.
        """
        self.model = Model(path, gpu_layers=gpu_layers)
        batch = min(batch, window)
        options = Options(
            size=window, threads=threads, batch=batch, streams=1, kept=0, outputs=batch
        )
        try:
            self._context = Context(self.model, options)
        except BaseException:
            self.model.close()
            raise
        vocabulary = self.model.vocabulary
        # Only where the model was trained to see it before any text: after the mark that begins a
        # turn of a conversation, plain text comes as a surprise.
        marked = vocabulary.adds_bos and 0 <= vocabulary.bos < vocabulary.size
        self.begin = vocabulary.bos if marked else None

    def rows(self, tokens: Sequence[int]) -> Iterator[Row]:
        """Yield the logits after each token, read from the beginning.

        Each row is a view, gone when the next one is asked for; copy what is to stay.

        Raises:
            InputError: A token is out of range.
            ContextOverflow: There are more tokens than the window holds.
            GenerationError: llama.cpp failed.
        """
        check_fit(len(tokens), 0, self._context.limits)
        self.clear()
        step = self._context.limits.batch
        for start in range(0, len(tokens), step):
            piece = tokens[start : start + step]
            self._decode(piece, start, all_rows=True)
            for i in range(len(piece)):
                yield self._context.logits(i)

    def speed(self, tokens: Sequence[int], *, written: int) -> tuple[float, float]:
        """Return tokens/s of reading a text as a prompt is read, and of writing after it.

        Args:
            written: Tokens to write, greedily; the window must hold them too.

        Raises:
            InputError: There is nothing to read or to write.
            ContextOverflow: The window does not hold them.
        """
        limits = self._context.limits
        check_fit(len(tokens), written, limits)
        check_fit(written, 0, limits)
        self.clear()
        began = time.perf_counter()
        for start in range(0, len(tokens), limits.batch):
            piece = tokens[start : start + limits.batch]
            self._decode(piece, start)
        token = int(np.argmax(self._context.logits(len(piece) - 1)))  # waits for a GPU too
        read = time.perf_counter()
        for place in range(len(tokens), len(tokens) + written):
            self._decode([token], place)
            token = int(np.argmax(self._context.logits(0)))
        ended = time.perf_counter()
        return len(tokens) / (read - began), written / (ended - read)

    def clear(self) -> None:
        """Forget what was read."""
        self._context.clear()

    def _decode(self, tokens: Sequence[int], start: int, *, all_rows: bool = False) -> None:
        rows = len(tokens) if all_rows else 1
        if not self._context.decode([Piece(_SEQUENCE, start, tokens, rows)]):
            raise GenerationError(f"the window cannot hold {start + len(tokens)} tokens")

    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        self._context.close()
        self.model.close()

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
