"""The promises of a chunker, as tests: subclass ``ChunkerSuite`` and write ``make``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from ragstack.protocols import Chunker
from ragstack.types import Chunk, Document, Mark, Scalar, document_id_of

__all__ = ["ChunkerSuite", "check_chunks"]

_ENGLISH = (
    "The harbour was quiet. Dr. Lane counted 3.5 tons of rope, e.g. for the ferry. "
    "“Who pays?” she asked. Nobody answered… The tide came in.\n\n"
)
_FRENCH = (
    "M. Étienne Garrec entretient les vannes du moulin. « Qui paie ? » demanda-t-il. "
    "L’eau monta de 7,80 mètres, cf. le bail. Puis plus rien.\n\n"
)
_TEXTS = {
    "prose": _ENGLISH * 12 + _FRENCH * 12,
    "repeats": "Same line.\n" * 300,
    "one line": (_ENGLISH + _FRENCH).replace("\n", " ") * 20,
    "one word": "x" * 20_000,
    "no letters": "… – · " * 2_000,
    "no spaces": "日本語の文章です。" * 400,
    "odd signs": "a\x00b\ufeffc\u200bd\ufffd" * 300 + "\ud800 end",
    "windows": "A line.\r\n\r\nAnother one.\r\n" * 100,
    "blanks inside": "before" + " " * 5_000 + "\n" * 5_000 + "after",
    "short": "Only this.",
    "padded": "\n\n  \t Only this, again.  \n\n\n",
}


def check_chunks(document: Document, chunks: list[Chunk]) -> None:
    """Assert everything the protocol's docstring promises of one document's chunks."""
    text = document.text
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip()
        assert chunk.document_id == document.id
        assert chunk.version == document.version
        assert chunk.readers == document.readers
        assert {key: chunk.meta[key] for key in document.meta} == dict(document.meta)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)
    covered = min((chunk.start for chunk in chunks), default=len(text))
    assert not text[:covered].strip()
    for chunk in chunks:
        assert not text[covered : max(chunk.start, covered)].strip()
        covered = max(covered, chunk.end)
    assert not text[covered:].strip() or not chunks


class ChunkerSuite(ABC):
    """What every chunker promises."""

    @abstractmethod
    def make(self) -> Chunker:
        """Return a chunker with chunks of some 20 to 200 tokens, so that a page gives several."""

    @pytest.fixture
    def chunker(self) -> Chunker:
        """A new chunker."""
        return self.make()

    @pytest.mark.parametrize("name", _TEXTS)
    def test_text_is_carried_and_none_is_lost(self, chunker: Chunker, name: str) -> None:
        """Carry spans from the start; a search for the text finds the first of several places."""
        document = _document(_TEXTS[name])
        chunks = chunker.chunk(document)
        check_chunks(document, chunks)
        assert chunks

    @pytest.mark.parametrize("text", ["", " ", "\n\n\t \u00a0\n"])
    def test_blank_in_empty_out(self, chunker: Chunker, text: str) -> None:
        """A document of white space has no chunk, and is no error."""
        assert chunker.chunk(_document(text)) == []

    def test_long_text_gives_several_chunks(self, chunker: Chunker) -> None:
        """Neither prose, nor one long line, nor one long word may come back whole."""
        for name in ("prose", "one line", "one word", "no spaces"):
            chunks = chunker.chunk(_document(_TEXTS[name]))
            assert len(chunks) > 2
            assert max(len(chunk.text) for chunk in chunks) < len(_TEXTS[name]) / 2

    def test_same_document_same_chunks(self, chunker: Chunker) -> None:
        """Keep no state between documents; an unchanged document must give the same ids."""
        document = _document(_TEXTS["prose"])
        first = chunker.chunk(document)
        chunker.chunk(_document(_TEXTS["repeats"]))
        assert chunker.chunk(document) == first

    def test_document_is_left_as_it_was(self, chunker: Chunker) -> None:
        """Copy ``meta`` before adding to it."""
        meta: dict[str, Scalar] = {"title": "Harbour", "language": "en", "year": 2024}
        marks = (Mark("heading", 0, 22, "Harbour", 1), Mark("page", 0, 400, page=1))
        document = replace(
            _document(_TEXTS["prose"]), meta=meta, marks=marks, readers=("ann", "staff")
        )
        check_chunks(document, chunker.chunk(document))
        assert meta == {"title": "Harbour", "language": "en", "year": 2024}
        assert document.marks == marks

    def test_marks_of_any_shape_are_no_error(self, chunker: Chunker) -> None:
        """Marks may touch, nest, be empty, lack labels and levels; the text decides."""
        text = _TEXTS["prose"]
        marks = (
            Mark("page", 0, 400, page=1),
            Mark("heading", 0, 22, "Harbour", 1),
            Mark("heading", 22, 22, "", 0),
            Mark("table", 30, 300),
            Mark("code", 100, 200),
            Mark("heading", 150, 160, "Harbour", 7),
            Mark("page", 400, len(text), page=2),
            Mark("figure", len(text), len(text)),
        )
        document = replace(_document(text), marks=marks)
        check_chunks(document, chunker.chunk(document))

    def test_another_text_has_other_ids(self, chunker: Chunker) -> None:
        """The version is the document's, so that an id never comes to mean another text."""
        first = chunker.chunk(_document("One thing is said here."))
        second = chunker.chunk(_document("One thing is told here."))
        assert {chunk.id for chunk in first}.isdisjoint(chunk.id for chunk in second)


def _document(text: str) -> Document:
    return Document(document_id_of("suite.txt"), text, "suite.txt")
