"""A request in, its tokens as they come."""

from __future__ import annotations

import functools
import queue
import weakref
from collections.abc import Iterator

from ragstack.engine.draft_stream import DraftStream
from ragstack.engine.drafts import Drafter
from ragstack.engine.grammar import Constraint
from ragstack.engine.images import words
from ragstack.engine.jobs import Choice, Writing
from ragstack.engine.near_ties import NearTies
from ragstack.engine.orders import Life, order
from ragstack.engine.requests import Request
from ragstack.engine.sampling import Sampler
from ragstack.engine.tiles import Tiles, images_of, rows_before
from ragstack.engine.worker import Worker
from ragstack.types import TokenLogprob

__all__ = ["Generation"]


class Generation(Iterator[int]):
    """Tokens as they come.

    Attributes:
        finish: ``stop``, ``length`` or ``cancelled``, once it has ended; empty before.
    """

    def __init__(
        self, worker: Worker, request: Request, constraint: Constraint | None, tiles: Tiles = ()
    ) -> None:
        self.request = request
        self.constraint = constraint
        self.finish = ""
        self._worker = worker
        self._tiles = tiles
        self._started = False
        self._tokens: queue.SimpleQueue[int | str | BaseException] = queue.SimpleQueue()
        self._life = Life(worker, request.manner)
        self._logprobs: queue.SimpleQueue[TokenLogprob] = queue.SimpleQueue()
        sampling, vocabulary = request.sampling, worker.model.vocabulary
        # What nothing else can move need not run alone, and has no near ties.
        exact = worker.context.exact and not request.manner.adapter
        self._alone = sampling.deterministic and not exact
        guesses = request.manner.speculate and not self._alone
        greedy = sampling.temperature == 0.0 or sampling.top_k == 1
        helper = worker.draft if guesses else None
        draft = DraftStream(helper, sampled=not greedy) if helper and not helper.off else None
        self._draft = draft
        self._ties = NearTies() if greedy and not (exact or self._alone) else None
        self._job = Writing(
            request.tokens,
            most=sampling.max_tokens,
            choice=Choice(
                Sampler(sampling, words(request.tokens), piece=vocabulary.piece),
                vocabulary.ends,
                constraint,
                request.guide,
                self._logprobs.put if sampling.logprobs else None,
                sampling.logprobs,
                self._ties,
            ),
            put=functools.partial(worker.outbox.post, self._tokens),
            drafter=Drafter() if guesses else None,
            draft=draft,
        )
        # One that is let go of without being closed gives its place back too.
        weakref.finalize(self, self._life.cancelled.set)

    @property
    def cached(self) -> int:
        """Prompt tokens that were not read again; known with the first token."""
        return self._job.cached

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the cache that the prompt fills, and those that were not read again.

        As many as tokens, but for images of two dimensions.
        """
        length, tiles = len(self.request.tokens), self._tiles
        return rows_before(length, tiles), rows_before(self.cached, tiles)

    @property
    def near_ties(self) -> tuple[int, ...]:
        """Which tokens, counted from 0, another could have been under greedy decoding.

        The two best logits lay within 0.5 there: in other company, or with other guesses, the text
        may go on differently from such a token on, and from no other. There are none where steps
        are exact (`Context.exact`).
        """
        return tuple(self._ties.places) if self._ties is not None else ()

    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """Return the log-probabilities that came since the last call, the final token's too."""
        return tuple(self._logprobs.get() for _ in range(self._logprobs.qsize()))

    def __next__(self) -> int:
        if not self.finish and not self._started:
            self._started = True
            try:
                self._start()
            except BaseException:
                self.finish = "cancelled"
                raise
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
        """Stop after the step in work. A second call does nothing."""
        self._life.cancelled.set()
        self.finish = self.finish or "cancelled"

    def _start(self) -> None:
        if not self._job.most:
            self.finish = "length"
            return
        job, life, tokens, draft = self._job, self._life, self._tokens, self._draft
        outbox = self._worker.outbox
        life.begin()

        def done(error: BaseException | None) -> None:
            if draft is not None:
                draft.close(job.tally.written)
            outbox.post(tokens, error or job.finish or life.error or "cancelled")
            outbox.flush()  # behind its tokens

        manner = self.request.manner
        with self._worker.place() as put:
            images = images_of(self._tiles, life.goes_on)
            if images is None:
                tokens.put(life.error or "cancelled")
            else:
                put(order(job, done, life, manner, alone=self._alone, images=images))
