from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ragstack import registry
from ragstack.documents import dispatch
from ragstack.documents.dispatch import fingerprint, load_document
from ragstack.documents.limits import Limits
from ragstack.errors import (
    BrokenDocument,
    DocumentTooLarge,
    EmptyDocument,
    InputError,
    MissingExtra,
    UnsupportedDocument,
)
from ragstack.types import Source, document_id_of

MARKDOWN = b"---\ntitle: Inner\nauthor: Ada\ndate: 2020-01-02\nproject: hive\n---\n# Bees\n"


def test_what_the_source_says_wins() -> None:
    source = Source("a.md", MARKDOWN, meta={"title": "Outer", "rank": 3, "author": None},
                    readers=("ada",))  # fmt: skip
    document = load_document(source)
    assert document.id == document_id_of("a.md")
    assert document.text == MARKDOWN.decode()
    assert document.readers == ("ada",)
    assert document.meta == {
        "title": "Outer",
        "author": "Ada",
        "date": "2020-01-02",
        "project": "hive",
        "type": "markdown",
        "rank": 3,
    }


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2)), None])
def test_modified_is_the_date_of_a_document_without_one(zone: timezone | None) -> None:
    modified = datetime(2024, 5, 6, 12, 30, 1, 5, tzinfo=zone)
    dated = load_document(Source("a.txt", b"Bees.", modified=modified)).meta["date"]
    hour = 10 if zone and zone != UTC else 12
    assert dated == f"2024-05-06T{hour}:30:01+00:00"
    assert load_document(Source("a.md", MARKDOWN, modified=modified)).meta["date"] == "2020-01-02"


def test_a_language_that_is_declared_is_not_detected() -> None:
    text = b"The house by the river was sold last year, and nobody knows who lives there now."
    assert load_document(Source("a.txt", text)).meta["language"] == "en"
    said = load_document(Source("a.txt", text, meta={"language": "French"}))
    assert said.meta["language"] == "fr"


def test_metadata_of_the_source_are_checked() -> None:
    with pytest.raises(BrokenDocument, match="'tags'"):
        load_document(Source("a.txt", b"Bees.", meta={"tags": ["a"]}))  # type: ignore[dict-item]


def test_a_document_over_the_limit_is_refused_with_both_numbers() -> None:
    with pytest.raises(DocumentTooLarge, match=r"1,001 bytes; the limit is 1,000"):
        load_document(Source("a.txt", b"a" * 1001), limits=Limits(max_bytes=1000))


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\xef\xbb\xbf"])
def test_a_blank_document_is_empty(data: bytes) -> None:
    with pytest.raises(EmptyDocument, match=r"a\.txt"):
        load_document(Source("a.txt", data))


def test_a_loader_may_be_named() -> None:
    assert load_document(Source("a.csv", b"a,b\n1,2\n"), loader="text").meta["type"] == "text"


def test_a_missing_library_costs_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingExtra("pypdfium2", extra="documents")

    monkeypatch.setattr(registry, "create", missing)
    with pytest.raises(UnsupportedDocument) as caught:
        load_document(Source("a.pdf", b"%PDF-1.4"))
    assert "'pypdfium2' is not installed" in caught.value.message
    assert caught.value.hint == 'pip install "ragstack[documents]"'


@pytest.mark.parametrize(
    ("error", "expected"), [(KeyError("inner"), BrokenDocument), (MemoryError(), DocumentTooLarge)]
)
def test_a_parsers_own_errors_become_document_errors(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    class Failing:
        def load(self, data: bytes, *, source: str) -> None:
            raise error

    monkeypatch.setattr(registry, "create", lambda *_, **__: Failing())
    with pytest.raises(expected, match=r"a\.txt"):
        load_document(Source("a.txt", b"Bees."))


def test_the_fingerprint_names_every_loader_and_library() -> None:
    parts = fingerprint().split(";")
    for name in registry.TABLE["loaders"]:
        assert any(part.startswith(f"{name}=") for part in parts), name
    assert any(part.startswith("pypdfium2=5") for part in parts)


def test_the_fingerprint_changes_with_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    monkeypatch.setattr(dispatch, "_VERSIONS", {**dispatch._VERSIONS, "pdf": 99})
    assert fingerprint() != before


@pytest.mark.parametrize("value", [0, -1, True, "9"])
def test_limits_are_positive_numbers(value: object) -> None:
    with pytest.raises(InputError, match="max_pages"):
        Limits(max_pages=value)  # type: ignore[arg-type]
