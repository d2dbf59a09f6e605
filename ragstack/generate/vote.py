"""Messages in, the answer that most of several samples give out. Knows nothing of prompts.

Self-consistency: Wang et al. 2022 (arXiv 2203.11171). Samples run side by side, as many at a time
as the generator has streams.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from ragstack.errors import Cancelled, InputError
from ragstack.protocols import Generator
from ragstack.types import Delta, Grammar, Message, Sampling, Usage

__all__ = ["Vote", "folded", "vote"]

_MOST_SAMPLES = 256
# What stands around an answer and is no part of it. Signs of money, % and = are; a minus or a
# point is where a digit follows.
_TOLD = r"\w%°+<>=€$£¥"
_BEFORE = re.compile(rf"^(?:(?![-.]\d)[^{_TOLD}])+")
_AFTER = re.compile(rf"[^{_TOLD}]+$")


@dataclass(frozen=True, slots=True)
class Vote:
    """What the samples said.

    Attributes:
        text: The first sample of the majority, as it was written. Of several groups as large, the
            one whose first sample has the lowest seed.
        count: Samples in the majority.
        samples: All of them, by seed; without their thinking.
        groups: Each normal form and how many samples have it, most first.
        usage: Of all samples together; their seconds overlap.
    """

    text: str
    count: int
    samples: tuple[str, ...]
    groups: tuple[tuple[str, int], ...]
    usage: Usage

    @property
    def agreement(self) -> float:
        """The majority's share of the samples, above 0, at most 1."""
        return self.count / len(self.samples)


def vote(
    generator: Generator,
    messages: Sequence[Message],
    *,
    sampling: Sampling,
    k: int = 5,
    key: Callable[[str], str] | None = None,
    grammar: Grammar | None = None,
) -> Vote:
    """Return the answer that most of ``k`` samples give.

    Args:
        sampling: Its temperature must be above 0. Its seed is the first sample's; each further
            sample has the next.
        key: The normal form of an answer: equal forms are one vote. ``folded`` if not given; after
            a chain of thought, something that looks at the conclusion alone.

    Raises:
        InputError: ``k`` is out of range, or all samples would be the same.
        RagstackError: What the first sample to fail raised. The others are stopped, their streams
            closed.
    """
    if not 1 <= k <= _MOST_SAMPLES:
        raise InputError(f"k is {k!r}, expected 1 to {_MOST_SAMPLES} samples")
    if k > 1 and sampling.temperature == 0.0:
        raise InputError(
            f"{k} samples at temperature 0 are one and the same, expected a temperature above 0",
            hint="0.5 to 0.8 is usual for a vote",
        )

    def stream(seed: int) -> Iterator[Delta]:
        return generator.stream(messages, sampling=replace(sampling, seed=seed), grammar=grammar)

    seeds = range(sampling.seed, sampling.seed + k)
    samples = _run(stream, seeds, at_once=max(generator.capabilities.streams, 1))
    return _count(samples, key or folded)


def folded(text: str) -> str:
    """Return a text in the form in which answers are compared.

    Case, accents, the width of spaces and signs at either end make no difference.
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    words = " ".join(unicodedata.normalize("NFKC", letters).split())
    return _BEFORE.sub("", _AFTER.sub("", words)) or words


@dataclass(frozen=True, slots=True)
class _Sample:
    text: str
    usage: Usage


def _run(
    stream: Callable[[int], Iterator[Delta]], seeds: Sequence[int], *, at_once: int
) -> list[_Sample]:
    """Return a sample for each seed; the first error stops all."""
    stop = threading.Event()
    with ThreadPoolExecutor(min(at_once, len(seeds)), "ragstack-vote") as pool:
        try:
            futures = [pool.submit(_sample, stream, seed, stop) for seed in seeds]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            # Those done first: one of them may have failed while others still run.
            for future in sorted(futures, key=lambda future: future not in done):
                future.result()
            return [future.result() for future in futures]
        finally:  # also when the caller's thread is interrupted
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _sample(stream: Callable[[int], Iterator[Delta]], seed: int, stop: threading.Event) -> _Sample:
    deltas = stream(seed)
    texts: list[str] = []
    usage = Usage()
    try:
        for delta in deltas:
            texts.append(delta.text)
            usage = delta.usage or usage
            if stop.is_set():
                raise Cancelled("another sample of the vote failed")
    finally:
        close = getattr(deltas, "close", None)
        if close is not None:
            close()
    return _Sample("".join(texts), usage)


def _count(samples: Sequence[_Sample], key: Callable[[str], str]) -> Vote:
    forms = [key(sample.text) for sample in samples]
    # most_common keeps the order of first appearance among equals: the lowest seed wins.
    groups = Counter(forms).most_common()
    majority, count = groups[0]
    return Vote(
        samples[forms.index(majority)].text,
        count,
        tuple(sample.text for sample in samples),
        tuple(groups),
        sum((sample.usage for sample in samples), Usage()),
    )
