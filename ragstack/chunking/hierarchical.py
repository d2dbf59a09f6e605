"""A document in, small chunks out that know the larger one they are part of.

Children are what is searched. Their parent is a span of the document, named in their metadata, and
its text needs no store of its own: where enough children of one parent are found, the pipeline
shows the parent in their place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import Limits, pack
from ragstack.chunking.sections import inner_levels, section_spans
from ragstack.chunking.tokens import tabulate
from ragstack.errors import ConfigError
from ragstack.protocols import Expansion, TokenCounter
from ragstack.types import Chunk, Document, Meta, Span

__all__ = ["HierarchicalChunker"]


class HierarchicalChunker:
    """Cuts as ``markdown`` does into parents, and each parent into children."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 96,
        parent: int = 384,
        least: int = 32,
        merge: float = 0.5,
        context: str = "headings",
    ) -> None:
        """Choose how long children and parents are.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a child, at most; its context is not counted.
            parent: Tokens of a parent, at most; more than twice the size.
            least: A section of fewer tokens (a heading without text) joins the next one.
            merge: Share of a parent's children that must be found for it to be shown whole.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``.

        Raises:
            ConfigError: One of them cannot be used.
        """
        self._limits = checked_limits(size, 0)
        if parent < 2 * size:
            raise ConfigError(f"parent is at least twice the size ({size}), got {parent!r}")
        if not 0 < merge <= 1:
            raise ConfigError(f"merge is a share above 0, at most 1, got {merge!r}")
        self._counter = counter
        self._parent = Limits(parent)
        self._least = min(least, parent // 2)
        self._context = checked_context(context)
        self.expansion = Expansion(candidates=4, merge=merge)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the children in order of start."""
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        levels = inner_levels(document, table, self._limits.size)
        parents = section_spans(document, table, self._parent, least=self._least)
        children: list[Span] = []
        for parent in parents:
            children += pack(parent, levels, table, self._limits)
        family = _Family(text, parents, children)
        return assemble(document, children, context=self._context, meta=family.meta)


class _Family:
    """Which parent a child has. Parents touch and do not overlap."""

    def __init__(self, text: str, parents: list[Span], children: list[Span]) -> None:
        self._text = text
        self._parents = parents
        self._starts = [start for start, _ in parents]
        self._children = Counter(
            self._index(start) for start, end in set(children) if text[start:end].strip()
        )

    def meta(self, start: int, _end: int) -> Meta:
        """Return the parent's trimmed span and how many children it has, if more than one."""
        index = self._index(start)
        if self._children[index] < 2:
            return {}
        first, last = self._parents[index]
        whole = self._text[first:last]
        first += len(whole) - len(whole.lstrip())
        return {
            "parent": f"{first}-{first + len(whole.strip())}",
            "siblings": self._children[index],
        }

    def _index(self, start: int) -> int:
        return bisect_right(self._starts, start) - 1
