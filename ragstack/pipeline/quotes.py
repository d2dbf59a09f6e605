"""Blocks of text in, an answer that begins with verbatim quotes out, and what it quoted.

The generator writes under a grammar in which a quote can only be a span of the blocks. The passages
that come back are cut down to what was quoted, so a citation cannot be of anything else.
"""

from __future__ import annotations

import collections.abc
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ragstack.errors import UnsupportedCapability
from ragstack.pipeline.pack import Block
from ragstack.protocols import Generator
from ragstack.types import Citation, Delta, Event, Message, Passage, Quoted, Sampling, Usage

__all__ = ["INSTRUCTIONS", "Quotation", "check_quotes", "quotation"]

INSTRUCTIONS = {
    "brief": "answer.quoted_brief",
    "normal": "answer.quoted",
    "detailed": "answer.quoted_detailed",
}
"""The prompt of each style."""

_MOST = {"brief": 1, "normal": 3, "detailed": 8}
_QUOTE_TOKENS = 112  # for one quote of 400 bytes, its mark and its line feed
_BRIEF = r"[^>\s][^\n]*"


@dataclass(frozen=True, slots=True)
class Quotation:
    """An answer, and the passages cut down to what it quoted.

    Attributes:
        homes: For the id of each of these passages' chunks, that of the chunk it was cut from.
    """

    text: str
    passages: tuple[Passage, ...]
    homes: Mapping[str, str]
    usage: Usage

    def at_home(self, citation: Citation) -> Citation:
        """Return a citation of the chunk that the catalog has."""
        return replace(citation, chunk_id=self.homes.get(citation.chunk_id, citation.chunk_id))


def check_quotes(generator: Generator) -> None:
    """Refuse a generator that cannot be held to quotes.

    Raises:
        UnsupportedCapability: It does not know the grammar ``quoted``.
    """
    if "quoted" not in generator.capabilities.grammars:
        raise UnsupportedCapability(
            f"the generator {generator.name!r} cannot be held to verbatim quotes",
            hint="use a local model, or ask without quotes",
        )


def quotation(
    generator: Generator,
    messages: Sequence[Message],
    blocks: Sequence[Block],
    style: str,
    size: int,
) -> collections.abc.Generator[Event, None, Quotation]:
    """Yield the answer as it comes, its quotes left out; return it with what it quoted.

    Args:
        size: Tokens for the answer; quotes have tokens of their own.
    """
    grammar = Quoted(tuple(block.text for block in blocks), most=_MOST[style])
    if style == "brief":
        grammar = replace(grammar, answer=_BRIEF)
    # Packing left room for the answer; quotes take what else the window has.
    room = generator.context_size - generator.count_tokens(messages)
    sampling = Sampling(max_tokens=max(1, min(size + _MOST[style] * _QUOTE_TOKENS, room)))
    usage = Usage()
    whole = ""
    shown = 0
    for delta in generator.stream(messages, sampling=sampling, grammar=grammar):
        whole += delta.text
        usage = delta.usage or usage
        begins = _answer_at(whole)
        text = whole[max(shown, begins) :] if begins >= 0 else ""
        shown = len(whole) if begins >= 0 else shown
        if text or delta.reasoning:
            yield Delta(text=text, reasoning=delta.reasoning)
    begins = _answer_at(whole)
    quotes = [line[2:] for line in whole[: max(begins, 0)].splitlines() if line[:2] == "> "]
    found = [pair for quote in quotes for pair in _cut(quote, blocks)]
    homes = {passage.chunk.id: home for passage, home in found}
    return Quotation(
        whole[begins:].strip() if begins >= 0 else "", tuple(p for p, _ in found), homes, usage
    )


def _answer_at(text: str) -> int:
    """Return where the first line begins that is no quote, -1 while there is none."""
    at = 0
    while text.startswith(">", at):
        end = text.find("\n", at)
        if end < 0:
            return -1
        at = end + 1
    return at if at < len(text) else -1


def _cut(quote: str, blocks: Sequence[Block]) -> list[tuple[Passage, str]]:
    """Return a passage of nothing but a quote, and the id of the chunk it was cut from."""
    pattern = re.compile(r"\s+".join(map(re.escape, quote.split())))
    for block in blocks:
        found = pattern.search(block.text)
        if found is None:
            continue
        start, end = block.start + found.start(), block.start + found.end()
        home = max(
            block.passages,
            key=lambda p: min(end, p.chunk.end) - max(start, p.chunk.start),
        )
        chunk = replace(home.chunk, start=start, end=end, text=found[0])
        return [(replace(home, chunk=chunk), home.chunk.id)]
    return []
