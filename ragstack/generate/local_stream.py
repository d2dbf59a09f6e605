"""Tokens in, Deltas out: text without stop strings, thinking apart, tool calls read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ragstack.engine.beams import BeamSearch, Hypothesis
from ragstack.engine.engine import Manner
from ragstack.engine.generation import Generation
from ragstack.engine.vocabulary import Detokenizer
from ragstack.errors import UnsupportedCapability
from ragstack.generate.local_model import Loaded
from ragstack.generate.reasoning import ReasoningSplitter
from ragstack.generate.stops import StopScanner
from ragstack.generate.tool_calls import ToolCallReader
from ragstack.types import Delta, Grammar, Sampling, ToolCall, ToolSpec, Usage

__all__ = ["BeamDeltas", "check_beams", "deltas"]


def deltas(
    generation: Generation, loaded: Loaded, reader: ToolCallReader | None
) -> Iterator[Delta]:
    """Yield a generation's text, without its stop strings; closing this stops the work."""
    began = time.perf_counter()
    request = generation.request
    text = Detokenizer(loaded.vocabulary, shown=loaded.shown)
    splitter = ReasoningSplitter(thinking=loaded.opens_thinking(request.tokens))
    stops = StopScanner(request.sampling.stop)
    count = 0

    def delta(thought: str, answer: str) -> Delta:
        answer = stops.push(answer)
        return Delta(text=reader.push(answer) if reader else answer, reasoning=thought)

    try:
        for token in generation:
            count += 1
            piece = delta(*splitter.push(text.push(token)))
            if piece.text or piece.reasoning:
                yield replace(piece, logprobs=generation.logprobs())
            if stops.stopped:
                break
    finally:
        generation.close()
    rest = delta(*splitter.push(text.flush()))
    last = delta(*splitter.flush())
    held = stops.flush()
    answer = rest.text + last.text + (reader.push(held) if reader else held)
    calls: list[ToolCall] = []
    if reader is not None:
        more, calls = reader.finish()
        answer += more
    if answer or rest.reasoning or last.reasoning:
        yield Delta(text=answer, reasoning=rest.reasoning + last.reasoning)
    for call in calls:
        yield Delta(tool_call=call)
    finish = "stop" if stops.stopped else "tool_calls" if calls else generation.finish
    usage = Usage(
        *generation.rows,
        count,
        time.perf_counter() - began,
        # The token that ends the text is none of it, but could have been another too.
        near_ties=sum(
            place < count + (generation.finish == "stop") for place in generation.near_ties
        ),
    )
    yield Delta(finish=finish, usage=usage, logprobs=generation.logprobs())


def check_beams(sampling: Sampling, tools: Sequence[ToolSpec], grammar: Grammar | None) -> None:
    """Refuse what cannot be had of a beam search.

    Raises:
        UnsupportedCapability: Something else was asked for beside beams.
    """
    if sampling.beams == 1:
        return
    for wanted, name in (
        (bool(tools), "tools"),
        (grammar is not None, "a grammar"),
        (sampling.reasoning_tokens is not None, "reasoning_tokens"),
        (sampling.logprobs > 0, "logprobs"),
        (sampling.deterministic, "deterministic"),
    ):
        if wanted:
            raise UnsupportedCapability(
                f"{name} and beams={sampling.beams} cannot be had in one reply",
                hint=f"leave out {name}, or set beams=1",
            )


class BeamDeltas(Iterator[Delta]):
    """The best text of a beam search, in one piece, once the search is over.

    May be closed from another thread: the search then stops after the step in work.
    """

    def __init__(
        self, loaded: Loaded, tokens: Sequence[int], sampling: Sampling, manner: Manner
    ) -> None:
        """Check all that can be refused; nothing is read before the first ``next``.

        Raises:
            ContextOverflow: Prompt and ``max_tokens`` do not fit.
            InputError: A setting is out of range.
        """
        self._loaded = loaded
        self._stops = sampling.stop
        self._thinking = loaded.opens_thinking(tokens)
        self._longest = max((len(stop.encode()) for stop in sampling.stop), default=0)
        self._search = BeamSearch(
            loaded.engine, tokens, sampling, complete=self._complete, manner=manner
        )
        self._left: deque[Delta] | None = None
        self._closed = False

    def __next__(self) -> Delta:
        if self._left is None and not self._closed:
            self._left = deque()  # a search that failed is not begun again
            began = time.perf_counter()
            while not self._closed and self._search.step():
                pass
            if not self._closed:
                self._left += self._result(time.perf_counter() - began)
        if self._closed or not self._left:
            raise StopIteration
        return self._left.popleft()

    def close(self) -> None:
        """Stop after the step in work. A second call does nothing."""
        self._closed = True

    def _result(self, seconds: float) -> list[Delta]:
        best: Hypothesis = self._search.found[0]
        thought, answer = self._text(best.tokens)
        scanner = StopScanner(self._stops)
        answer = scanner.push(answer) + scanner.flush()
        usage = Usage(*self._search.rows, len(best.tokens), seconds)
        last = Delta(finish="stop" if scanner.stopped else best.finish, usage=usage)
        return [Delta(text=answer, reasoning=thought), last] if answer or thought else [last]

    def _complete(self, tokens: Sequence[int]) -> bool:
        """Return whether a stop string has come in the answer."""
        if not self._stops:
            return False
        # A token has a byte or more, so a stop string that is new lies within the last of them.
        tail = self._loaded.vocabulary.detokenize(tokens[-self._longest - 4 :], special=True)
        if not any(stop in tail for stop in self._stops):
            return False
        _, answer = self._text(tokens)
        return any(stop in answer for stop in self._stops)

    def _text(self, tokens: Sequence[int]) -> tuple[str, str]:
        """Return the thinking and the answer that tokens stand for."""
        detokenizer = Detokenizer(self._loaded.vocabulary, shown=self._loaded.shown)
        text = "".join(detokenizer.push(token) for token in tokens) + detokenizer.flush()
        splitter = ReasoningSplitter(thinking=self._thinking)
        pieces = (splitter.push(text), splitter.flush())
        return "".join(thought for thought, _ in pieces), "".join(answer for _, answer in pieces)
