"""Requests in, tokens out: one thread owns the model and serves any number of callers in turn.

A caller that stops reading holds up nobody: its tokens wait in its own queue, and closing its
generation frees the model after the token in work. Knows no text, no stop strings, no messages.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragstack.engine.context import Context, Options
from ragstack.engine.grammar import Compiler, Constraint
from ragstack.engine.guard import check_fit
from ragstack.engine.model import Model
from ragstack.engine.sampling import Sampler, check_sampling, log_probability
from ragstack.errors import GenerationError
from ragstack.types import Grammar, Sampling

__all__ = ["Engine", "Generation", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """What to continue, and how. ``sampling.stop`` is the caller's affair: strings are text."""

    tokens: tuple[int, ...]
    sampling: Sampling
    grammar: Grammar | None = None


class Engine:
    """A model at work. Safe to call from many threads.

    Attributes:
        model: The weights; its vocabulary may be used freely.
    """

    def __init__(self, path: Path, options: Options, *, gpu_layers: int = -1) -> None:
        """Load a model and reserve its window.

        Raises:
            ModelError: The file cannot be used.
        """
        self.model = Model(path, gpu_layers=gpu_layers)
        try:
            self._worker = _Worker(self.model, options)
        except BaseException:
            self.model.close()
            raise
        self._compiler: Compiler | None = None
        self._compiler_lock = threading.Lock()
        # Also at interpreter exit, while the thread can still be joined.
        self._finalizer = weakref.finalize(self, _Worker.close, self._worker)

    def generate(self, request: Request) -> Generation:
        """Return a generation that starts when its first token is asked for.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit.
            GrammarError: The grammar cannot be compiled.
            InputError: A setting or a token is out of range.
        """
        check_sampling(request.sampling)
        self.model.vocabulary.check(request.tokens)
        check_fit(len(request.tokens), request.sampling.max_tokens, self._worker.context.limits)
        constraint = None if request.grammar is None else self._compile(request)
        return Generation(self._worker, request, constraint)

    def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Return the natural log-probability of every token; the prompt is read once.

        Raises:
            ContextOverflow: Prompt and the longest continuation do not fit.
            InputError: A token is out of range, or there is no prompt.
        """
        for tokens in (prompt, *continuations):
            self.model.vocabulary.check(tokens)
        longest = max(map(len, continuations), default=0)
        check_fit(len(prompt), longest, self._worker.context.limits)
        answers: queue.SimpleQueue[list[list[float]] | BaseException] = queue.SimpleQueue()
        self._worker.submit(
            lambda: answers.put(self._worker.score(prompt, continuations)), answers.put
        )
        answer = answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """Stop what runs and give the memory back. A second call does nothing."""
        with self._compiler_lock:
            self._finalizer()

    def _compile(self, request: Request) -> Constraint:
        with self._compiler_lock:
            if not self._finalizer.alive:
                raise GenerationError("the generator is closed")
            if self._compiler is None:
                self._compiler = Compiler(self.model.vocabulary)
            assert request.grammar is not None
            return self._compiler.compile(request.grammar, request.sampling.max_tokens)


class Generation(Iterator[int]):
    """Tokens as they come.

    Attributes:
        cached: Prompt tokens that were not read again; known with the first token.
        finish: ``stop``, ``length`` or ``cancelled``, once it has ended; empty before.
    """

    def __init__(self, worker: _Worker, request: Request, constraint: Constraint | None) -> None:
        self.request = request
        self.constraint = constraint
        self.cached = 0
        self.finish = ""
        self.cancelled = threading.Event()
        self._worker = worker
        self._started = False
        self._tokens: queue.SimpleQueue[int | str | BaseException] = queue.SimpleQueue()

    def __next__(self) -> int:
        if not self.finish and not self._started:
            self._started = True
            self._worker.submit(
                lambda: self._worker.generate(self, self._tokens.put), self._tokens.put
            )
        if self.finish:
            raise StopIteration
        item = self._tokens.get()
        if isinstance(item, int):
            return item
        self.finish = item if isinstance(item, str) else "cancelled"
        if isinstance(item, str):
            raise StopIteration
        raise item

    def close(self) -> None:
        """Stop after the token in work. A second call does nothing."""
        self.cancelled.set()
        self.finish = self.finish or "cancelled"


class _Worker:
    """The thread that owns the context."""

    def __init__(self, model: Model, options: Options) -> None:
        self.model = model
        self.context = Context(model, options)
        self._jobs: queue.SimpleQueue[
            tuple[Callable[[], None], Callable[[BaseException], None]] | None
        ]
        self._jobs = queue.SimpleQueue()
        self._closing = threading.Event()
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="ragstack-engine", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None], fail: Callable[[BaseException], None]) -> None:
        """Queue a job; what it raises goes to ``fail``.

        Raises:
            GenerationError: The engine is closed, or belongs to the parent of a forked process.
        """
        if os.getpid() != self._owner:
            raise GenerationError(
                "this generator was opened before the process forked, and its thread is not here",
                hint="open a generator in each process",
            )
        with self._lock:
            if self._closing.is_set():
                raise GenerationError("the generator is closed")
            self._jobs.put((job, fail))

    def _serve(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, fail = entry
            try:
                if self._closing.is_set():
                    raise GenerationError("the generator was closed before it came to this request")
                job()
            except BaseException as error:  # the caller's thread raises it; this one must live on
                fail(error)

    def generate(self, generation: Generation, put: Callable[[int | str], None]) -> None:
        """Run one generation to its end; the last thing put is how it ended."""
        request, cancelled = generation.request, generation.cancelled

        def wanted() -> bool:
            return not cancelled.is_set() and not self._closing.is_set()

        generation.cached, whole = self.context.read(request.tokens, keep_going=wanted)
        if not whole:
            put("cancelled")
            return
        sampler = Sampler(request.sampling)
        left = request.sampling.max_tokens
        while left > 0:
            token = self._draw(sampler, generation.constraint)
            if token in self.model.vocabulary.ends:
                put("stop")
                return
            put(token)
            left -= 1
            if generation.constraint is not None and generation.constraint.complete:
                put("stop")
                return
            if not wanted():
                put("cancelled")
                return
            if left:
                self.context.decode([token], rows=[0])
        put("length")

    def _draw(self, sampler: Sampler, constraint: Constraint | None) -> int:
        logits = self.context.logits()
        if constraint is None:
            return sampler.draw(logits)
        token = sampler.draw(constraint.mask(logits))
        if token not in self.model.vocabulary.ends:
            constraint.accept(token)
        return token

    def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Return the log-probabilities of each continuation's tokens."""
        context = self.context
        context.read(prompt)
        first = context.logits().copy()
        scores: list[list[float]] = []
        for tokens in continuations:
            if len(tokens) > 1:
                context.forget(len(prompt))
                if len(context.tokens) < len(prompt):
                    context.read(prompt)  # this model cannot drop part of what it has read
            row = [log_probability(first, token) for token in tokens[:1]]
            for start in range(0, len(tokens) - 1, context.limits.outputs):
                piece = tokens[start : min(start + context.limits.outputs, len(tokens) - 1)]
                context.decode(piece, rows=range(len(piece)))
                row += [
                    log_probability(context.logits(i), tokens[start + i + 1])
                    for i in range(len(piece))
                ]
            scores.append(row)
        return scores

    def close(self) -> None:
        """Stop the thread after the token in work, then free what it owned."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            self._jobs.put(None)
        if os.getpid() == self._owner:
            self._thread.join()
            self.context.close()
            self.model.close()
