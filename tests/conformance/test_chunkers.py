from __future__ import annotations

from ragstack.chunking.fixed import FixedChunker
from ragstack.chunking.markdown import MarkdownChunker
from ragstack.chunking.recursive import RecursiveChunker
from ragstack.chunking.sentence import SentenceChunker
from ragstack.embedding.words import WordCounter
from ragstack.testing.chunkers import ChunkerSuite

SIZE = 40


class TestFixed(ChunkerSuite):
    def make(self) -> FixedChunker:
        return FixedChunker(counter=WordCounter(), size=SIZE, overlap=10)


class TestFixedWithoutOverlap(ChunkerSuite):
    def make(self) -> FixedChunker:
        return FixedChunker(counter=WordCounter(), size=SIZE, overlap=0, context="none")


class TestRecursive(ChunkerSuite):
    def make(self) -> RecursiveChunker:
        return RecursiveChunker(counter=WordCounter(), size=SIZE)


class TestRecursiveWithOverlap(ChunkerSuite):
    def make(self) -> RecursiveChunker:
        return RecursiveChunker(counter=WordCounter(), size=SIZE, overlap=20)


class TestSentence(ChunkerSuite):
    def make(self) -> SentenceChunker:
        return SentenceChunker(counter=WordCounter(), size=SIZE, overlap=20)


class TestMarkdown(ChunkerSuite):
    def make(self) -> MarkdownChunker:
        return MarkdownChunker(counter=WordCounter(), size=SIZE)


class TestMarkdownWithOverlap(ChunkerSuite):
    def make(self) -> MarkdownChunker:
        return MarkdownChunker(counter=WordCounter(), size=SIZE, overlap=15, context="both")
