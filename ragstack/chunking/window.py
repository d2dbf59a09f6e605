"""A document in, a chunk for each sentence out, which knows the sentences to show with it."""

from __future__ import annotations

from bisect import bisect_right

from ragstack.chunking import sentences
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import pack
from ragstack.chunking.tokens import tabulate
from ragstack.errors import ConfigError
from ragstack.protocols import Expansion, TokenCounter
from ragstack.types import Chunk, Document, Meta, Span

__all__ = ["WindowChunker"]


class WindowChunker:
    """Indexes sentences one by one; what is shown is a sentence with its neighbours."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 200,
        least: int = 8,
        neighbours: int = 2,
        context: str = "headings",
    ) -> None:
        """Choose how much is shown.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of what is shown, at most; a longer sentence is cut.
            least: A sentence of fewer tokens joins the next one.
            neighbours: Sentences shown on each side, as far as they fit.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``.

        Raises:
            ConfigError: One of them cannot be used.
        """
        if neighbours < 0:
            raise ConfigError(f"neighbours is a number of sentences from 0, got {neighbours!r}")
        self._counter = counter
        self._limits = checked_limits(size, 0)
        self._least = min(least, size // 2)
        self._neighbours = neighbours
        self._context = checked_context(context)
        self.expansion = Expansion(candidates=4)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the sentences in order."""
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        language = document.meta.get("language")
        found = sentences.split(text, language if isinstance(language, str) else "")
        spans: list[Span] = []
        start = None
        for first, last in found:
            start = first if start is None else start
            tokens = table.tokens((start, last))
            if tokens < self._least and last != found[-1][1]:
                continue
            spans += pack((start, last), (), table, self._limits)
            start = None
        shown = _Shown(text, spans, table.tokens_before([s for s, _ in spans]).tolist())
        ends = table.tokens_before([end for _, end in spans]).tolist()
        shown.fill(ends, self._neighbours, self._limits.size)
        return assemble(document, spans, context=self._context, meta=shown.meta)


class _Shown:
    """The window of each sentence."""

    def __init__(self, text: str, spans: list[Span], before: list[int]) -> None:
        self._text = text
        self._spans = spans
        self._before = before
        self._windows: list[Span] = []

    def fill(self, after: list[int], neighbours: int, size: int) -> None:
        """Reckon the windows: neighbours are taken in turn, the nearer first, while they fit."""
        for index in range(len(self._spans)):
            first = last = index
            for step in range(1, neighbours + 1):
                if index - step == first - 1 >= 0 and after[last] - self._before[first - 1] <= size:
                    first -= 1
                more = index + step
                if more == last + 1 < len(after) and after[more] - self._before[first] <= size:
                    last += 1
            self._windows.append((self._spans[first][0], self._spans[last][1]))

    def meta(self, start: int, end: int) -> Meta:
        """Return the trimmed span of a sentence's window, if it is more than the sentence."""
        index = bisect_right(self._spans, start, key=lambda span: span[0]) - 1
        first, last = self._windows[index]
        shown = self._text[first:last]
        first += len(shown) - len(shown.lstrip())
        last = first + len(shown.strip())
        return {} if (first, last) == (start, end) else {"window": f"{first}-{last}"}
