"""Prompts kept on disk: what a context has read of one goes out to a file, and comes in again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import llama_cpp

from ragstack.engine.guard import check_fit
from ragstack.engine.prefix_file import Origin, Prefix, origin, read_prefix, write_prefix
from ragstack.engine.shelf import State
from ragstack.engine.visiting import Visiting
from ragstack.engine.worker import Worker
from ragstack.errors import EngineBusy, GenerationError, InputError, ModelError

__all__ = ["Saving", "load"]


class Saving:
    """A prompt on its way to a file.

    Attributes:
        job: Reads it; to be run to its end before ``write``.
    """

    def __init__(self, worker: Worker, tokens: Sequence[int], adapter: str) -> None:
        self.job = Visiting(list(tokens), self._take)
        self._worker = worker
        self._tokens = tuple(tokens)
        self._adapter = adapter
        self._state: State = b""

    def _take(self) -> None:
        sequence = self._worker.scheduler.sequences.holding(self._tokens, key=self._adapter)
        if sequence is None:
            raise GenerationError("the prompt was read, but no sequence holds it")
        self._state = self._worker.context.state(sequence)

    def write(self, path: Path) -> None:
        """Write the file.

        Raises:
            ModelError: It cannot be written.
        """
        made_by = _origin(self._worker, self._adapter)
        write_prefix(path, Prefix(self._tokens, self._state), made_by)


def load(worker: Worker, path: Path, adapter: str) -> int:
    """Take a file in; return how many tokens it holds. Errors as ``Engine.load_prefix``."""
    prefix = read_prefix(path, _origin(worker, adapter))
    tokens = prefix.tokens
    try:
        worker.model.vocabulary.check(tokens)
    except InputError as error:
        raise ModelError(f"{str(path)!r} is no saved prefix: {error.message}") from error
    check_fit(len(tokens), 0, worker.context.limits)
    worker.call(lambda: _restore(worker, prefix, adapter))
    return len(tokens)


def _restore(worker: Worker, prefix: Prefix, adapter: str) -> None:
    sequences = worker.scheduler.sequences
    if sequences.holding(prefix.tokens, key=adapter) is not None:
        return
    if worker.scheduler.alone:
        raise EngineBusy(
            "a deterministic request is at work, and the cache is its own until it is done",
            hint="load the prefix before it or after it",
        )
    least = 0 if worker.context.whole_states else len(prefix.tokens)
    sequence = sequences.adopt(prefix.tokens, key=adapter, least=least)
    held: Sequence[int] = ()
    try:
        while not worker.context.restore(sequence, prefix.state, len(prefix.tokens)):
            # What is kept gives way; what is at work does not.
            if not sequences.evict():
                raise EngineBusy(
                    f"there is no room for a prefix of {len(prefix.tokens)} tokens beside the "
                    "requests at work",
                    hint="load it before the first request, or when they are done",
                )
        held = prefix.tokens
    finally:
        sequences.give_back(sequence, held)


def _origin(worker: Worker, adapter: str) -> Origin:
    return origin(
        worker.model.header,
        adapter=worker.adapters.digest(adapter),
        library=str(llama_cpp.__version__),
        cache=worker.context.keeps,
    )
