"""A question and its passages in, a checked answer out, as a stream of events.

Pack, judge, generate, cite. Knows generators only by their protocol, and nothing of how passages
were found.
"""

from __future__ import annotations

import collections.abc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ragstack.config import AnswerConfig
from ragstack.errors import InputError
from ragstack.generate.prompts import Prompts
from ragstack.pipeline.cite import Cited, cite
from ragstack.pipeline.compress import compressed
from ragstack.pipeline.judge import Case, Judgement, judge, refuses
from ragstack.pipeline.neighbours import with_neighbours
from ragstack.pipeline.pack import Block, near_best, pack
from ragstack.pipeline.quotes import INSTRUCTIONS, check_quotes, quotation
from ragstack.pipeline.words import words
from ragstack.protocols import Generator, Scorer
from ragstack.types import (
    Answer,
    Citation,
    Delta,
    Document,
    Event,
    Mark,
    Message,
    Passage,
    Sampling,
    Usage,
)

__all__ = ["STYLES", "Answerer", "place", "shown_as"]

STYLES = {"brief": 48, "normal": 256, "detailed": 768}
"""Styles of an answer and the tokens each may take."""

Writing = collections.abc.Generator[Event, None, tuple[str, Usage]]

_LONG_REFUSAL = 24  # words
_OVERHEAD = 128  # tokens of the window kept for the instruction and the template


@dataclass
class Answerer:
    """Makes answers from passages.

    Attributes:
        document: Returns a document by id, to place quotes on pages and under headings.
        notes: Told to the reader with every answer.
        before: Returns what stands before a passage in its document, where there is anything.
    """

    generator: Generator
    config: AnswerConfig
    document: Callable[[str], Document | None]
    notes: tuple[str, ...] = ()
    before: Callable[[Passage], Passage | None] = lambda _passage: None

    def stream(
        self,
        question: str,
        passages: Sequence[Passage],
        *,
        prompts: Prompts,
        style: str,
        quotes: bool = False,
    ) -> Iterator[Event]:
        """Yield the text as it comes, then the checked Answer.

        Args:
            quotes: The answer begins with verbatim quotes, and citations are of these alone.

        Raises:
            InputError: An unknown style.
            UnsupportedCapability: ``quotes`` of a generator that cannot be held to them.
        """
        if quotes:
            check_quotes(self.generator)
        if style not in STYLES:
            raise InputError(f"unknown style {style!r}; known: {', '.join(STYLES)}")
        clock = _Clock()
        blocks = self.blocks(question, passages, prompts, style)
        used = tuple(passage for block in blocks for passage in block.passages)
        clock.lap("pack")
        if not blocks:
            judged = Judgement("", None, Usage())
            yield self._abstained(prompts.texts["abstain.found_nothing"], used, judged, clock)
            return
        shown = [shown_as(block) for block in blocks]
        judged = self._judged(question, blocks, prompts)
        clock.lap("judge")
        if not judged.sufficient(self.config.doubt):
            text = prompts.texts["abstain.not_answered"]
            yield self._abstained(text, used, judged, clock)
            return
        text, usage, sources = judged.brief, judged.usage, used
        said = None
        if quotes:
            messages = prompts.answering(shown, question, INSTRUCTIONS[style])
            said = yield from quotation(self.generator, messages, blocks, style, STYLES[style])
            usage += said.usage
            if not refuses(said.text, prompts):
                text, sources = said.text, said.passages
        elif style == "brief":
            yield Delta(text=text)
        else:
            text, more = yield from self._write(question, shown, prompts, style)
            usage += more
            if refuses(text, prompts) and not _says_more(text):
                # It could answer briefly, so the brief answer stands.
                text = judged.brief
        clock.lap("generate")
        cited = cite(
            text,
            sources,
            question=question,
            language=prompts.language,
            markers=style != "brief",
        )
        if said is not None:
            cited = replace(cited, citations=tuple(map(said.at_home, cited.citations)))
        clock.lap("cite")
        yield replace(self._answer(cited, used, usage, clock), trust=judged.trust)

    def sufficient(
        self, question: str, passages: Sequence[Passage], *, prompts: Prompts
    ) -> tuple[bool, float | None, Usage]:
        """Return whether the passages hold the answer, the trust in it, and what it took.

        It is the judgement that ``stream`` makes of the same passages.
        """
        blocks = self.blocks(question, passages, prompts, "normal")
        if not blocks:
            return False, None, Usage()
        judged = self._judged(question, blocks, prompts)
        return judged.sufficient(self.config.doubt), judged.trust, judged.usage

    def _judged(self, question: str, blocks: Sequence[Block], prompts: Prompts) -> Judgement:
        used = [passage for block in blocks for passage in block.passages]
        case = Case(question, [shown_as(block) for block in blocks], _apart(used))
        return judge(self.generator, self._scorer(), prompts, case, doubt=self.config.doubt)

    def blocks(
        self, question: str, passages: Sequence[Passage], prompts: Prompts, style: str
    ) -> list[Block]:
        """Return what the generator reads of passages; the same for an answer's own passages."""
        count = self._count
        taken = self.generator.count_tokens(prompts.preamble()) + 2 * count(question)
        room = self.generator.context_size - taken - STYLES[style] - _OVERHEAD
        near = list(passages)
        if style != "detailed":
            most = self.config.most or prompts.passages or None
            near = near_best(passages, self.config.floor)[:most]
        if self.config.neighbours:
            near = with_neighbours(near, self.before)
        blocks = pack(
            near,
            budget=max(0, min(self.config.context_tokens, room)),
            count=count,
            per_document=self.config.per_document,
            between=self._between,
        )
        return compressed(
            blocks, question, keep=self.config.keep, language=prompts.language, count=count
        )

    def _count(self, text: str) -> int:
        return self.generator.count_tokens([Message("user", text)])

    def _between(self, document_id: str, start: int, end: int) -> str:
        document = self.document(document_id)
        return document.text[start:end] if document else ""

    def _scorer(self) -> Scorer | None:
        scores = self.generator.capabilities.logprobs
        return self.generator if scores else None  # type: ignore[return-value]

    def _write(self, question: str, shown: Sequence[str], prompts: Prompts, style: str) -> Writing:
        messages = prompts.answering(shown, question, f"answer.{style}")
        sampling = Sampling(max_tokens=STYLES[style])
        pieces: list[str] = []
        usage = Usage()
        for delta in self.generator.stream(messages, sampling=sampling):
            pieces.append(delta.text)
            usage = delta.usage or usage
            if delta.text or delta.reasoning:
                yield replace(delta, finish=None, usage=None)
        return "".join(pieces).strip(), usage

    def _abstained(
        self, text: str, passages: tuple[Passage, ...], judged: Judgement, clock: _Clock
    ) -> Answer:
        return Answer(
            text=text,
            abstained=True,
            grounded=False,
            passages=passages,
            usage=judged.usage,
            trust=judged.trust,
            notes=self.notes,
            seconds=clock.laps,
        )

    def _answer(
        self, cited: Cited, passages: tuple[Passage, ...], usage: Usage, clock: _Clock
    ) -> Answer:
        return Answer(
            text=cited.text,
            abstained=False,
            grounded=all(sentence.verdict != "unsupported" for sentence in cited.sentences),
            sentences=cited.sentences,
            citations=tuple(self._placed(citation) for citation in cited.citations),
            passages=passages,
            usage=usage,
            notes=self.notes,
            seconds=clock.laps,
        )

    def _placed(self, citation: Citation) -> Citation:
        document = self.document(citation.document_id)
        return replace(citation, mark=place(document, citation.start)) if document else citation


def place(document: Document, at: int) -> Mark | None:
    """Return the page a character stands on, else the heading it stands under, else None.

    On a page it has the rectangle of the table or the picture that the character was read from.
    """
    page = heading = drawn = None
    for mark in document.marks:
        if mark.start > at:
            break
        if mark.kind == "page" and at < mark.end:
            page = mark
        elif mark.kind == "heading":
            heading = mark
        elif mark.box and at < mark.end:
            drawn = mark
    if page and drawn and drawn.page == page.page:
        page = replace(page, box=drawn.box)
    if page and heading and not page.label:
        return replace(page, label=heading.label)
    return page or heading


def shown_as(block: Block) -> str:
    """Return a block as the generator reads it."""
    return f"{block.context}\n{block.text}" if block.context else block.text


def _apart(passages: Sequence[Passage]) -> float | None:
    """Return how far the passage that stood out most did so, where the search tells it."""
    spreads = [
        score
        for passage in passages
        for stage, score in passage.trail.items()
        if stage.endswith(".spread")
    ]
    return max(spreads, default=None)


def _says_more(text: str) -> bool:
    # A refusal among other sentences is part of an answer; one alone is not.
    return len(words(text)) > _LONG_REFUSAL


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
