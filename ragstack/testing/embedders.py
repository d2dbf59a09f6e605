"""The promises of embedders and token counters, as tests: subclass a suite and write ``make``."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ragstack.errors import InputError
from ragstack.protocols import Closeable, Embedder, TokenCounter, TokenEmbedder, Vectors

__all__ = ["EmbedderSuite", "TokenCounterSuite", "TokenEmbedderSuite"]

TEXTS = (
    "The tenant pays for the damage.",
    "Le bailleur est tenu d’entretenir les vannes du moulin ; qui paie les réparations ?",
    "x",
    "A lease is a contract by which one party lets another use its property. " * 40,
    "def area(radius):\n    return 3.14159 * radius ** 2\n",
    "",
    " \n\t",
    "日本語の文章です。",
    "[CLS] [SEP] <s> <|im_start|>",
    "a\x00b \ufeff\u200b \ud800 \U0001f600",
)


class EmbedderSuite(ABC):
    """What every embedder promises."""

    tolerance = 1e-5
    """How far a number of a vector may move with what stands beside its text."""

    @abstractmethod
    def make(self) -> Embedder:
        """Return an embedder."""

    @pytest.fixture
    def embedder(self) -> Iterator[Embedder]:
        """An embedder, closed after the test if it can be."""
        made = self.make()
        yield made
        _close(made)

    def test_rows_are_unit_vectors(self, embedder: Embedder) -> None:
        """float32, shape (n, dimensions), length 1: of the empty text and of odd signs too."""
        for rows in (embedder.embed_documents(TEXTS), embedder.embed_queries(TEXTS)):
            assert rows.dtype == np.float32
            assert rows.shape == (len(TEXTS), embedder.dimensions)
            assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-4)

    def test_empty_in_empty_out(self, embedder: Embedder) -> None:
        """No texts give an array of shape (0, dimensions)."""
        assert embedder.embed_documents([]).shape == (0, embedder.dimensions)
        assert embedder.embed_queries([]).shape == (0, embedder.dimensions)

    def test_rows_do_not_depend_on_their_neighbours(self, embedder: Embedder) -> None:
        """Look at padding, masks and scales that are shared by a batch."""
        together = embedder.embed_documents(TEXTS)
        alone = np.concatenate([embedder.embed_documents([text]) for text in TEXTS])
        assert together == pytest.approx(alone, abs=self.tolerance)

    def test_rows_are_in_order(self, embedder: Embedder) -> None:
        """Batches sorted by length must be put back as the texts were."""
        order = np.random.default_rng(0).permutation(len(TEXTS))
        straight = embedder.embed_documents(TEXTS)
        turned = embedder.embed_documents([TEXTS[index] for index in order])
        assert turned == pytest.approx(straight[order], abs=self.tolerance)

    def test_equal_texts_have_equal_rows(self, embedder: Embedder) -> None:
        """The same text twice, in one call and in two."""
        rows = embedder.embed_documents([TEXTS[0], TEXTS[3], TEXTS[0]])
        assert rows[0] == pytest.approx(rows[2], abs=self.tolerance)
        assert embedder.embed_documents([TEXTS[0]])[0] == pytest.approx(rows[0], abs=self.tolerance)

    def test_different_texts_have_different_rows(self, embedder: Embedder) -> None:
        """A text is nearer to itself as a question than another text is."""
        documents = embedder.embed_documents(TEXTS[:2])
        questions = embedder.embed_queries(TEXTS[:2])
        likeness = questions @ documents.T
        assert likeness[0, 0] > likeness[0, 1]
        assert likeness[1, 1] > likeness[1, 0]

    def test_a_lone_text_is_refused(self, embedder: Embedder) -> None:
        """A str is a sequence of str: without a check each letter would get a vector."""
        lone: Any = "a lone text"
        with pytest.raises(InputError):
            embedder.embed_documents(lone)
        with pytest.raises(InputError):
            embedder.embed_queries(lone)

    def test_what_is_no_text_is_refused(self, embedder: Embedder) -> None:
        """None and bytes are mistakes of the caller, not texts."""
        mixed: Any = ["a text", None]
        with pytest.raises(InputError):
            embedder.embed_documents(mixed)

    def test_texts_are_left_as_they_were(self, embedder: Embedder) -> None:
        """Sort a copy."""
        texts = list(TEXTS)
        embedder.embed_documents(texts)
        assert texts == list(TEXTS)

    def test_fingerprint_stays(self, embedder: Embedder) -> None:
        """A base records it: two embedders made alike have the same, before and after work."""
        before = embedder.fingerprint
        embedder.embed_documents(TEXTS[:1])
        other = self.make()
        assert before == embedder.fingerprint == other.fingerprint
        assert before
        _close(other)

    def test_threads_may_share_it(self, embedder: Embedder) -> None:
        """A server embeds many questions at once with one embedder."""
        expected = embedder.embed_documents(TEXTS)
        found: list[Vectors] = []
        threads = [
            threading.Thread(target=lambda: found.append(embedder.embed_documents(TEXTS)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == len(threads)
        for rows in found:
            assert rows == pytest.approx(expected, abs=self.tolerance)

    def test_close_twice(self, embedder: Embedder) -> None:
        """The second call does nothing."""
        _close(embedder)
        _close(embedder)


class TokenCounterSuite(ABC):
    """What every token counter promises."""

    @abstractmethod
    def make(self) -> TokenCounter:
        """Return a token counter."""

    @pytest.fixture
    def counter(self) -> Iterator[TokenCounter]:
        """A token counter, closed after the test if it can be."""
        made = self.make()
        yield made
        _close(made)

    @pytest.mark.parametrize("text", [*TEXTS, "word " * 20_000])
    def test_as_many_spans_as_tokens(self, counter: TokenCounter, text: str) -> None:
        """Count what ``offsets`` shows: special tokens are neither counted nor shown."""
        assert len(counter.offsets(text)) == counter.count(text)

    @pytest.mark.parametrize("text", [*TEXTS, "word " * 20_000])
    def test_spans_are_characters_in_order(self, counter: TokenCounter, text: str) -> None:
        """Characters, not bytes; half-open; inside the text; starts and ends never go back."""
        last = (0, 0)
        for span in counter.offsets(text):
            assert last[0] <= span[0] <= span[1] <= len(text)
            assert last[1] <= span[1]
            last = span

    def test_spans_hold_the_words(self, counter: TokenCounter) -> None:
        """Every letter belongs to a token."""
        text = "Who pays for the 7,80 m? Étienne Garrec, le locataire."
        held = {place for start, end in counter.offsets(text) for place in range(start, end)}
        assert {place for place, sign in enumerate(text) if sign.isalnum()} <= held

    def test_nothing_is_no_token(self, counter: TokenCounter) -> None:
        """The empty text has no token, not even a special one."""
        assert counter.count("") == 0
        assert list(counter.offsets("")) == []

    def test_long_texts_are_counted_to_the_end(self, counter: TokenCounter) -> None:
        """No truncation at the model's length."""
        assert counter.count("word " * 3_000) >= 3_000

    def test_special_tokens_in_a_text_are_text(self, counter: TokenCounter) -> None:
        """A document that spells a control token must not get one."""
        assert counter.count("[SEP]") > 1


class TokenEmbedderSuite(ABC):
    """What every token embedder promises."""

    @abstractmethod
    def make(self) -> TokenEmbedder:
        """Return a token embedder."""

    @pytest.fixture
    def embedder(self) -> Iterator[TokenEmbedder]:
        """A token embedder, closed after the test if it can be."""
        made = self.make()
        yield made
        _close(made)

    def test_a_unit_vector_for_each_token(self, embedder: TokenEmbedder) -> None:
        """One row and one span for each token; special tokens out, the end of long texts in."""
        found = embedder.embed_tokens(TEXTS)
        assert len(found) == len(TEXTS)
        for text, tokens in zip(TEXTS, found, strict=True):
            assert tokens.vectors.dtype == np.float32
            assert len(tokens.vectors) == len(tokens.spans)
            assert np.linalg.norm(tokens.vectors, axis=1) == pytest.approx(1, abs=1e-4)
            assert all(0 <= start <= end <= len(text) for start, end in tokens.spans)
        assert found[3].spans[-1][1] == len(TEXTS[3].rstrip())
        assert len({tokens.vectors.shape[1] for tokens in found}) == 1

    def test_empty_in_empty_out(self, embedder: TokenEmbedder) -> None:
        """No texts, no answers; the empty text, no tokens."""
        assert embedder.embed_tokens([]) == []
        assert embedder.embed_tokens([""])[0].spans == ()

    def test_a_lone_text_is_refused(self, embedder: TokenEmbedder) -> None:
        """A str is a sequence of str."""
        lone: Any = "a lone text"
        with pytest.raises(InputError):
            embedder.embed_tokens(lone)


def _close(made: object) -> None:
    if isinstance(made, Closeable):
        made.close()
