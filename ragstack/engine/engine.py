"""Requests in, tokens out: one model that serves any number of callers at once.

A caller that stops reading holds up nobody: its tokens wait in its own queue, and closing its
generation frees its place after the step in work. Knows no text, no stop strings, no messages.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ragstack.engine.adapters import Adapters
from ragstack.engine.context import Options, Row
from ragstack.engine.costs import Costs
from ragstack.engine.draft_model import DraftOptions
from ragstack.engine.generation import Generation
from ragstack.engine.grammar import Compiler, Constraint
from ragstack.engine.guard import check_fit
from ragstack.engine.jobs import Peeking, Scoring
from ragstack.engine.left_out import LeftOut, left_out
from ragstack.engine.model import Model
from ragstack.engine.orders import Life, Manner, order
from ragstack.engine.pictures import Picture
from ragstack.engine.prefixes import Saving, load
from ragstack.engine.projector import Projector, Prompt
from ragstack.engine.requests import EngineStats, Request
from ragstack.engine.sampling import check_sampling
from ragstack.engine.tiles import Tiles, images_of, tiles_of
from ragstack.engine.visiting import Visiting
from ragstack.engine.worker import Worker
from ragstack.errors import Cancelled, GenerationError, InputError, UnsupportedCapability
from ragstack.types import Sampling, Span

__all__ = ["Engine", "EngineStats", "Manner", "Request"]


_SCORED = 64  # tokens of one request whose logits come from one step


_PLAIN = Manner()


class Engine:
    """A model at work. Safe to call from many threads.

    Attributes:
        model: The weights; its vocabulary may be used freely.
    """

    def __init__(  # noqa: PLR0913 (keyword arguments, of a model and its files)
        self,
        path: Path,
        options: Options,
        *,
        gpu_layers: int = -1,
        costs: Path | None = None,
        queue_limit: int = 256,
        adapters: Mapping[str, Path] | None = None,
        projector: Path | None = None,
    ) -> None:
        """Load a model and reserve its window.

        Args:
            costs: A file that keeps what steps cost on this machine.
            queue_limit: Requests that may wait for a place.
            adapters: LoRA adapters by name.
            projector: Turns images into what the model reads; loaded with the first of them.

        Raises:
            InputError: An option is out of range.
            ModelError: The file cannot be used, or that of an adapter.
        """
        if options.streams < 1 or options.kept < 1:
            raise InputError(
                f"streams={options.streams}, kept={options.kept}: expected 1 or more of each"
            )
        self.model = Model(path, gpu_layers=gpu_layers)
        try:
            loaded = Adapters(self.model, adapters or {})
            self._worker = Worker(
                self.model, options, loaded, costs=Costs(costs), queue_limit=queue_limit
            )
        except BaseException:
            self.model.close()
            raise
        self._projector = projector
        self._threads = options.threads
        self._projector_lock = threading.Lock()
        self._compiler: Compiler | None = None
        self._compiler_lock = threading.Lock()
        # Also at interpreter exit, while the thread can still be joined.
        self._finalizer = weakref.finalize(self, Worker.close, self._worker)

    def draft_with(self, options: DraftOptions) -> None:
        """Let a smaller model guess for this one, where measuring says that it gains.

        To be called before the first request.

        Raises:
            GenerationError: Somebody is at work, or there is a draft model already.
            InputError: Its vocabulary is another.
            ModelError: Its file cannot be used.
        """
        self._worker.draft_with(options)

    def generate(self, request: Request) -> Generation:
        """Return a generation that starts when its first token is asked for.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit.
            GrammarError: The grammar cannot be compiled.
            InputError: A setting or a token is out of range.
        """
        tiles = self.check(request.tokens, request.sampling)
        self._worker.adapters.check(request.manner.adapter)
        constraint = None if request.grammar is None else self._compile(request)
        return Generation(self._worker, request, constraint, tiles)

    @property
    def sees(self) -> bool:
        """Whether its projector is loaded."""
        return self._worker.projector is not None

    def see(self, picture: Picture) -> Prompt:
        """Return the tokens that stand for an image in a prompt: marks, and ids of no word.

        As long as somebody holds them, the image is not forgotten.

        Raises:
            InputError: It is too small, too large or too long.
            ModelError: The projector cannot be used.
            UnsupportedCapability: The engine was opened without one.
        """
        if self._projector is None:
            raise UnsupportedCapability("the engine reads text alone: it has no projector")
        with self._projector_lock:
            if self._worker.projector is None:
                if not self._finalizer.alive:
                    raise GenerationError("the generator is closed")
                self._worker.projector = Projector(
                    self._projector, self.model, threads=self._threads
                )
        return self._worker.projector.tokens(picture)

    def check_room(self, rows: int) -> None:
        """Refuse more than the window holds.

        Raises:
            ContextOverflow: So many rows do not fit.
        """
        check_fit(rows, 0, self._worker.context.limits)

    def check(self, tokens: Sequence[int], sampling: Sampling) -> Tiles:
        """Refuse a prompt or settings that cannot be served; return the images of the prompt.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit.
            EngineBusy: An image of it is not kept any more.
            InputError: A setting or a token is out of range.
        """
        check_sampling(sampling, vocabulary=self.model.vocabulary.size)
        return tiles_of(self._worker, tokens, sampling.max_tokens)

    def score(
        self,
        prompt: Sequence[int],
        continuations: Sequence[Sequence[int]],
        *,
        manner: Manner = _PLAIN,
    ) -> list[list[float]]:
        """Return the natural log-probability of every token; the prompt is read once.

        Raises:
            ContextOverflow: Prompt and the longest continuation do not fit.
            DeadlineExceeded: It took too long.
            EngineBusy: Too many requests wait.
            InputError: A token is out of range, or there is no prompt.
        """
        for tokens in continuations:
            self.model.vocabulary.check(tokens)
        tiles = tiles_of(self._worker, prompt, max(map(len, continuations), default=0))
        job = Scoring(
            list(prompt), continuations, at_once=min(_SCORED, self._worker.context.limits.outputs)
        )
        self._run([(job, tiles)], manner)
        return job.scores

    def leave_out(
        self,
        prompt: Sequence[int],
        spans: Sequence[Span],
        answer: Sequence[int],
        *,
        exact: bool = False,
        manner: Manner = _PLAIN,
    ) -> list[list[float]]:
        """Return the log-probabilities of an answer's tokens without each stretch of the prompt.

        The first row is that of the whole prompt. What is left out is forgotten from a copy of the
        prompt as it was read, so what stands after it still knows of it; ``exact`` reads each
        prompt anew, which takes as long as reading does.

        Raises:
            ContextOverflow: Prompt and answer do not fit.
            DeadlineExceeded: It took too long.
            EngineBusy: Too many requests wait.
            InputError: A token or a stretch is out of range, or there is no prompt.
            UnsupportedCapability: The model's kind cannot forget part of a prompt; ``exact`` can.
        """
        jobs = left_out(self._worker, LeftOut(prompt, spans, answer, exact), at_once=_SCORED)
        self._run(jobs, manner)
        return [job.scores[0] for job, _ in jobs]

    @property
    def can_forget(self) -> bool:
        """Whether part of what was read can be forgotten, as ``leave_out`` does."""
        return self._worker.context.can_cut

    def peek(
        self, prompts: Sequence[Sequence[int]], alternatives: int, *, manner: Manner = _PLAIN
    ) -> list[tuple[tuple[int, float], ...]]:
        """Return the likeliest next tokens of each prompt with their log-probabilities, best first.

        Raises:
            ContextOverflow: A prompt does not fit.
            DeadlineExceeded: It took too long.
            EngineBusy: Too many requests wait.
            InputError: A token is out of range, or a prompt is empty.
        """
        return [job.found or () for job in self.look(prompts, alternatives, manner=manner)]

    def look(
        self,
        prompts: Sequence[Sequence[int]],
        alternatives: int,
        *,
        manner: Manner = _PLAIN,
        adjust: Callable[[Row], Row] | None = None,
    ) -> list[Peeking]:
        """Do what ``peek`` does, and return the jobs themselves, which know what was cached.

        Args:
            adjust: Changes logits before they become probabilities; called on the engine's thread.
        """
        jobs = [
            (Peeking(list(prompt), alternatives, adjust), tiles_of(self._worker, prompt, 0))
            for prompt in prompts
        ]
        self._run(jobs, manner)
        return [job for job, _ in jobs]

    def save_prefix(self, tokens: Sequence[int], path: Path, *, manner: Manner = _PLAIN) -> None:
        """Read a prompt and write what the model made of it to a file, for ``load_prefix``.

        Raises:
            ContextOverflow: The prompt does not fit.
            DeadlineExceeded: It took too long.
            EngineBusy: Too many requests wait.
            InputError: A token is out of range, or there is no prompt.
            ModelError: The file cannot be written.
            UnsupportedCapability: The prompt has an image.
        """
        if tiles_of(self._worker, tokens, 0):
            raise UnsupportedCapability("a saved prefix holds text alone, the prompt has an image")
        saving = Saving(self._worker, tokens, manner.adapter)
        self._run([(saving.job, ())], manner)
        saving.write(path)

    def load_prefix(self, path: Path, *, manner: Manner = _PLAIN) -> int:
        """Take in what ``save_prefix`` wrote, so that prompts that begin alike start from there.

        Returns how many tokens that are.

        Raises:
            ContextOverflow: The prompt does not fit.
            EngineBusy: The cache is full of what is at work.
            ModelError: The file is damaged, or of another model or adapter; nothing has changed.
        """
        return load(self._worker, path, manner.adapter)

    def _run(
        self, jobs: Sequence[tuple[Scoring | Peeking | Visiting, Tiles]], manner: Manner
    ) -> None:
        """Run jobs to their end, side by side, each with the images of its prompt."""
        self._worker.adapters.check(manner.adapter)
        answers: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        life = Life(self._worker, manner)
        try:
            for job, tiles in jobs:
                with self._worker.place() as put:
                    seen = images_of(tiles, life.goes_on)
                    if seen is None:
                        answers.put(None)
                    else:
                        put(order(job, answers.put, life, manner, alone=False, images=seen))
            errors = [answers.get() for _ in jobs]
        except BaseException:  # the queue was full half-way, or the caller was interrupted
            life.cancelled.set()
            raise
        for error in errors:
            if error is not None:
                raise error
        if not all(job.complete for job, _ in jobs):
            if life.error is None and manner.cancel is not None and manner.cancel.is_set():
                raise Cancelled("the caller gave the call up")
            raise life.error or GenerationError("the generator is closed")

    def stats(self) -> EngineStats:
        """Return what is going on."""
        worker = self._worker

        def look() -> EngineStats:
            scheduler = worker.scheduler
            return EngineStats(
                scheduler.active,
                worker.queued,
                scheduler.sequences.kept,
                replace(scheduler.totals),
                worker.draft_report(),
            )

        return worker.call(look)

    def close(self) -> None:
        """Stop what runs and give the memory back. A second call does nothing."""
        with self._compiler_lock, self._projector_lock:
            self._finalizer()

    def _compile(self, request: Request) -> Constraint:
        with self._compiler_lock:
            if not self._finalizer.alive:
                raise GenerationError("the generator is closed")
            if self._compiler is None:
                self._compiler = Compiler(self.model.vocabulary)
            assert request.grammar is not None
            return self._compiler.compile(request.grammar, request.sampling.max_tokens)
