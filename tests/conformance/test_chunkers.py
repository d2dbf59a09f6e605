from __future__ import annotations

from ragstack.chunking.auto import AutoChunker
from ragstack.chunking.code import CodeChunker
from ragstack.chunking.contextual import ContextualChunker
from ragstack.chunking.data import JsonChunker
from ragstack.chunking.fixed import FixedChunker
from ragstack.chunking.hierarchical import HierarchicalChunker
from ragstack.chunking.html import HtmlChunker
from ragstack.chunking.late import LateChunker
from ragstack.chunking.markdown import MarkdownChunker
from ragstack.chunking.page import PageChunker
from ragstack.chunking.recursive import RecursiveChunker
from ragstack.chunking.semantic import SemanticChunker
from ragstack.chunking.sentence import SentenceChunker
from ragstack.chunking.table import TableChunker
from ragstack.chunking.window import WindowChunker
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.embedding.words import WordCounter
from ragstack.generate.scripted import ScriptedGenerator
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


class TestHtml(ChunkerSuite):
    def make(self) -> HtmlChunker:
        return HtmlChunker(counter=WordCounter(), size=SIZE, overlap=5)


class TestJson(ChunkerSuite):
    def make(self) -> JsonChunker:
        return JsonChunker(counter=WordCounter(), size=SIZE)


class TestCode(ChunkerSuite):
    def make(self) -> CodeChunker:
        return CodeChunker(counter=WordCounter(), size=SIZE, fallback=True)


class TestTable(ChunkerSuite):
    def make(self) -> TableChunker:
        return TableChunker(counter=WordCounter(), size=SIZE, context="none")


class TestPage(ChunkerSuite):
    def make(self) -> PageChunker:
        return PageChunker(counter=WordCounter(), size=SIZE)


class TestSemantic(ChunkerSuite):
    def make(self) -> SemanticChunker:
        return SemanticChunker(counter=WordCounter(), embedder=HashingEmbedder(), size=SIZE)


class TestHierarchical(ChunkerSuite):
    def make(self) -> HierarchicalChunker:
        return HierarchicalChunker(counter=WordCounter(), size=20, parent=SIZE * 2)


class TestWindow(ChunkerSuite):
    def make(self) -> WindowChunker:
        return WindowChunker(counter=WordCounter(), size=SIZE)


class TestLate(ChunkerSuite):
    def make(self) -> LateChunker:
        return LateChunker(counter=WordCounter(), size=SIZE)


class TestContextual(ChunkerSuite):
    def make(self) -> ContextualChunker:
        return ContextualChunker(
            counter=WordCounter(),
            generator=lambda: ScriptedGenerator(lambda _messages: "What this is about."),
            source="generator",
            size=SIZE,
            around=200,
        )


class TestAuto(ChunkerSuite):
    def make(self) -> AutoChunker:
        return AutoChunker(counter=WordCounter(), size=SIZE)
