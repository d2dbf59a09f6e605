"""A document in, chunks out that each begin with a line saying what they are about.

The line is the path of headings, or is written by a generator that reads the chunk and the text
around it ("Introducing Contextual Retrieval", Anthropic 2024). It is indexed and shown apart; the
chunk's own text stays the document's.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ragstack.chunking.assemble import assemble
from ragstack.chunking.contexts import ContextCache, key_of
from ragstack.chunking.options import checked_limits
from ragstack.chunking.sections import section_spans
from ragstack.chunking.spending import Spent
from ragstack.chunking.tokens import TokenTable, tabulate
from ragstack.errors import ConfigError, ContextOverflow
from ragstack.protocols import Generator, TokenCounter
from ragstack.types import Chunk, Document, Message, Sampling, Usage

__all__ = ["ContextualChunker"]

_logger = logging.getLogger(__name__)

_SOURCES = ("headings", "generator")
_PROMPTS = {
    "en": (
        "Text from the document “{title}”:\n\n{around}\n\n---\nOne passage of it:\n\n{passage}\n\n"
        "---\nIn one sentence of at most 25 words, say who or what this passage is about and where "
        "it stands in the document, so that a search can find it. Write only that sentence."
    ),
    "fr": (
        "Texte du document « {title} » :\n\n{around}\n\n---\nUn passage de ce texte :\n\n{passage}"
        "\n\n---\nEn une phrase de 25 mots au plus, dis de qui ou de quoi parle ce passage et où "
        "il se trouve dans le document, pour qu’une recherche le trouve. Écris seulement cette "
        "phrase."
    ),
}
_LONGEST_LINE = 300


class ContextualChunker:
    """``markdown``'s chunks with title and headings, or a generator's line, before each.

    Lines are kept by model and content: an ingest that is broken off, or a document that changed in
    one place, costs only what is new.

    Attributes:
        spent: What the lines of this object have cost.
    """

    def __init__(  # noqa: PLR0913 (options are read off the signature)
        self,
        *,
        counter: TokenCounter,
        generator: Callable[[], Generator] | None = None,
        cache: Path | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        source: str = "headings",
        size: int = 200,
        overlap: int = 0,
        least: int = 32,
        around: int = 1_000,
        line: int = 60,
    ) -> None:
        """Choose where the line comes from.

        Args:
            counter: Counts as the embedder does.
            generator: Returns what writes lines; asked when the first one is needed.
            cache: File that keeps the lines; None keeps none.
            progress: Called with the lines done of a document, and those in all.
            source: ``headings``, or ``generator``: some seconds a chunk on two cores.
            size: Tokens of a chunk, at most; its line is not counted.
            overlap: Tokens of whole paragraphs or sentences that a chunk repeats, at most.
            least: A section of fewer tokens (a heading without text) joins the next one.
            around: Tokens of the document that the generator reads with a chunk. Neighbouring
                chunks share them, and a generator that keeps prefixes reads them once.
            line: Tokens that a line may take.

        Raises:
            ConfigError: One of them cannot be used.
        """
        if source not in _SOURCES:
            raise ConfigError(f"source is one of {', '.join(_SOURCES)}, got {source!r}")
        if source == "generator" and generator is None:
            raise ConfigError("source = 'generator' needs a generator, and none was given")
        if around < size or line < 1:
            raise ConfigError(
                f"around is at least the size ({size}) and line 1 or more, "
                f"got {around!r} and {line!r}"
            )
        self._counter = counter
        self._generator = generator if source == "generator" else None
        self._cache = ContextCache(Path(cache)) if cache is not None else None
        self._progress = progress
        self._limits = checked_limits(size, overlap)
        self._least = min(least, size // 2)
        self._around = around
        self._line = line
        self.spent = Spent()

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start.

        Raises:
            ModelUnavailable: The generator's model is not on this machine.
            GenerationError: It failed; what it wrote before is kept.
        """
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        spans = section_spans(document, table, self._limits, least=self._least)
        chunks = assemble(document, spans, context="both")
        if self._generator is None:
            return chunks
        return self._described(document, chunks, table, self._generator())

    def close(self) -> None:
        """Close the file of lines. A second call does nothing."""
        if self._cache is not None:
            self._cache.close()

    def _described(
        self, document: Document, chunks: list[Chunk], table: TokenTable, generator: Generator
    ) -> list[Chunk]:
        self.spent = replace(self.spent, model=generator.name)
        stretches = _stretches(document.text, table, self._around)
        starts = [start for start, _ in stretches]
        described: list[Chunk] = []
        for number, chunk in enumerate(chunks, start=1):
            start, end = stretches[bisect_right(starts, chunk.start) - 1]
            line = self._line_of(document, document.text[start:end], chunk, generator)
            context = "\n".join(part for part in (chunk.context, line) if part)
            described.append(replace(chunk, context=context))
            self._progress(number, len(chunks))
        return described

    def _line_of(self, document: Document, around: str, chunk: Chunk, generator: Generator) -> str:
        language = str(document.meta.get("language") or "")[:2].lower()
        prompt = _PROMPTS.get(language, _PROMPTS["en"])
        title = str(document.meta.get("title") or "")
        # Inserted in one go: braces in a document mean nothing.
        filled = prompt.format_map({"title": title, "around": around, "passage": chunk.text})
        key = key_of(generator.name, str(self._line), filled)
        line = self._cache.get(key) if self._cache is not None else None
        if line is not None:
            self.spent = replace(self.spent, reused=self.spent.reused + 1)
            return line
        try:
            line, usage = _written(generator, filled, self._line)
        except ContextOverflow as error:
            _logger.warning("a chunk of %r has its headings alone: %s", document.source, error)
            self.spent = replace(self.spent, failed=self.spent.failed + 1)
            return ""
        self.spent = replace(
            self.spent, written=self.spent.written + 1, usage=self.spent.usage + usage
        )
        if self._cache is not None:
            self._cache.put(key, line)
        return line


def _written(generator: Generator, prompt: str, tokens: int) -> tuple[str, Usage]:
    stream: Any = generator.stream(
        [Message("user", prompt)], sampling=Sampling(max_tokens=tokens, reasoning_tokens=0)
    )
    said: list[str] = []
    usage = Usage()
    with closing(cast(Any, stream)):
        for delta in stream:
            said.append(delta.text)
            usage = delta.usage or usage
    lines = [" ".join(line.split()) for line in "".join(said).splitlines()]
    line = next((line for line in lines if line), "").encode("utf-8", "replace").decode()
    return (line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"), usage


def _stretches(text: str, table: TokenTable, tokens: int) -> Sequence[tuple[int, int]]:
    """Return spans that cover a text; a chunk is read with the one in which it begins."""
    return table.cut((0, len(text)), size=tokens) or [(0, len(text))]
