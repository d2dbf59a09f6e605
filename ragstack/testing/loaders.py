"""The promises of a loader, as tests: subclass ``LoaderSuite``, write ``make`` and ``sample``."""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from itertools import pairwise

import pytest

from ragstack.errors import DocumentError
from ragstack.protocols import Loader
from ragstack.types import Document, document_id_of

__all__ = ["LoaderSuite"]

_SOURCE = "/home/someone/a document"
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?)?)?)?")
_CUTS = 12
_GARBLED = 40


class LoaderSuite(ABC):
    """What every loader promises."""

    @abstractmethod
    def make(self) -> Loader:
        """Return a new loader."""

    @abstractmethod
    def sample(self) -> bytes:
        """Return the bytes of a document with text in it, of the kind that the loader reads."""

    @pytest.fixture
    def document(self) -> Document:
        """What the loader reads from the sample."""
        return self.make().load(self.sample(), source=_SOURCE)

    def test_id_and_source_come_from_the_address(self, document: Document) -> None:
        """Take the id from ``document_id_of(source)``, and keep the source as it was given."""
        assert document.source == _SOURCE
        assert document.id == document_id_of(_SOURCE)
        assert document.readers == ()

    def test_text_is_there_and_can_be_stored(self, document: Document) -> None:
        """A document without text is an EmptyDocument; lone surrogates must be replaced."""
        assert document.text.strip()
        document.text.encode("utf-8")

    def test_marks_lie_inside_the_text_and_are_sorted(self, document: Document) -> None:
        """Count offsets while writing the text; sort marks by start, the longer first."""
        spans = [(mark.start, -mark.end) for mark in document.marks]
        assert spans == sorted(spans)
        for mark in document.marks:
            assert 0 <= mark.start < mark.end <= len(document.text), mark
            assert document.text[mark.start : mark.end].strip(), mark

    def test_headings_have_a_level_and_a_label_that_stands_in_the_text(
        self, document: Document
    ) -> None:
        """A heading's label is what its span says: compare letters, not white space and signs."""
        for mark in document.marks:
            if mark.kind == "heading":
                assert mark.level > 0, mark
                assert mark.label.strip(), mark
                assert _letters(mark.label) in _letters(document.text[mark.start : mark.end]), mark

    def test_pages_are_numbered_upwards_and_do_not_overlap(self, document: Document) -> None:
        """Number pages from 1; a page ends where the next begins, or before."""
        pages = [mark for mark in document.marks if mark.kind == "page"]
        numbers = [mark.page or 0 for mark in pages]
        assert all(number > 0 for number in numbers)
        assert numbers == sorted(set(numbers))
        for page, following in pairwise(pages):
            assert page.end <= following.start

    def test_metadata_are_typed(self, document: Document) -> None:
        """``documents.meta.typed`` does this: scalars only, ISO dates, two-letter languages."""
        for key, value in document.meta.items():
            assert value is None or isinstance(value, (str, int, float, bool)), key
        kind = document.meta.get("type")
        assert isinstance(kind, str)
        assert kind
        for key in ("title", "author"):
            assert isinstance(document.meta.get(key, "text"), str), key
        assert _DATE.fullmatch(str(document.meta.get("date", "2024"))), document.meta["date"]
        assert re.fullmatch("[a-z]{2}", str(document.meta.get("language", "en")))

    def test_reading_twice_gives_the_same(self, document: Document) -> None:
        """Nothing of the clock, of chance or of an earlier document may show."""
        again = self.make().load(self.sample(), source=_SOURCE)
        assert again == document
        assert again.digest == document.digest

    def test_nothing_is_a_document_error(self) -> None:
        """No bytes at all have no text: EmptyDocument or another DocumentError."""
        with pytest.raises(DocumentError):
            self.make().load(b"", source=_SOURCE)

    def test_cut_bytes_are_read_or_refused(self) -> None:
        """Whatever a damaged file makes a parser raise, translate it into a DocumentError."""
        loader, sample = self.make(), self.sample()
        for i in range(_CUTS):
            _load_or_refuse(loader, sample[: len(sample) * i // _CUTS])

    def test_garbled_bytes_are_read_or_refused(self) -> None:
        """As with cut ones; here single bytes are changed, which damages lengths and offsets."""
        loader, sample, chance = self.make(), self.sample(), random.Random(11)
        for _ in range(_GARBLED):
            garbled = bytearray(sample)
            for _ in range(1 + len(garbled) // 500):
                garbled[chance.randrange(len(garbled))] = chance.randrange(256)
            _load_or_refuse(loader, bytes(garbled))


def _load_or_refuse(loader: Loader, data: bytes) -> None:
    try:
        document = loader.load(data, source=_SOURCE)
    except DocumentError as error:
        assert error.message
    else:
        assert document.text.strip()


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())
