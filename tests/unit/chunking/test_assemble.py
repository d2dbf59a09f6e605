from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ragstack.chunking.assemble import assemble, checked_context
from ragstack.errors import ConfigError
from ragstack.types import Document, Mark

TEXT = "Intro.\n# Setup\nDo it.\n## Linux\nUse apt.\n# Usage\nRun it."


def _at(word: str) -> int:
    return TEXT.index(word)


MARKS = (
    Mark("page", 0, _at("## Linux"), page=1),
    Mark("heading", _at("# Setup"), _at("Do it") - 1, "Setup", 1),
    Mark("heading", _at("## Linux"), _at("Use") - 1, "Linux", 2),
    Mark("page", _at("## Linux"), len(TEXT), page=2),
    Mark("code", _at("Use apt"), _at("# Usage")),
    Mark("heading", _at("# Usage"), _at("Run it") - 1, "Usage", 1),
)
DOCUMENT = Document(
    "d", TEXT, "d.md", meta={"title": "Manual", "year": 2024}, marks=MARKS, readers=("ann",)
)


def _chunk(word: str, context: Any = "headings", document: Document = DOCUMENT) -> Any:
    start = _at(word)
    (chunk,) = assemble(document, [(start, start + len(word))], context=context)
    return chunk


def test_a_chunk_knows_its_place() -> None:
    chunk = _chunk("Use apt.")
    assert chunk.meta == {"heading": "Setup > Linux", "page": 2, "title": "Manual", "year": 2024}
    assert chunk.context == "Setup > Linux"
    assert chunk.kind == "code"
    assert (chunk.version, chunk.readers) == (DOCUMENT.version, ("ann",))


def test_a_section_ends_where_the_next_begins() -> None:
    assert _chunk("Run it.").meta["heading"] == "Usage"
    assert _chunk("Do it.").meta == {"heading": "Setup", "page": 1, "title": "Manual", "year": 2024}
    assert "heading" not in _chunk("Intro.").meta


def test_a_heading_in_the_text_is_not_said_again() -> None:
    assert _chunk("## Linux\nUse apt.").context == "Setup"
    assert _chunk("# Usage\nRun it.").context == "Manual"


def test_contexts() -> None:
    assert _chunk("Intro.").context == "Manual"
    assert _chunk("Use apt.", "title").context == "Manual"
    assert _chunk("Use apt.", "both").context == "Manual > Setup > Linux"
    assert _chunk("Use apt.", "none").context == ""
    plain = Document("d", TEXT, "d.md")
    assert _chunk("Use apt.", "both", plain).context == ""
    assert _chunk("Use apt.", document=plain).meta == {}


def test_the_title_is_not_said_twice() -> None:
    document = Document("d", TEXT, "d.md", meta={"title": "Usage"}, marks=MARKS)
    assert _chunk("# Usage\nRun it.", "both", document).context == ""
    assert _chunk("Run it.", "both", document).context == "Usage"


def test_a_persons_own_metadata_wins() -> None:
    document = Document("d", TEXT, "d.md", meta={"page": "A-7"}, marks=MARKS)
    assert _chunk("Use apt.", document=document).meta["page"] == "A-7"


def test_blanks_are_trimmed_and_repeats_dropped() -> None:
    spans = [(20, 24), (0, 7), (0, 6), (6, 7), (5, 5)]
    chunks = assemble(DOCUMENT, spans, context="none")
    assert [(chunk.start, chunk.end) for chunk in chunks] == [(0, 6), (20, 24)]


def test_long_paths_keep_what_is_nearest() -> None:
    text = "0123456789"
    labels = ["Part " + "x" * 300, "y" * 100, "z" * 90]
    marks = tuple(Mark("heading", i, i + 1, label, i + 1) for i, label in enumerate(labels))
    (chunk,) = assemble(Document("d", text, "s", marks=marks), [(5, 9)], context="headings")
    assert chunk.context == f"{'y' * 100} > {'z' * 90}"
    assert "…" in str(chunk.meta["heading"])


def test_levels_may_be_missing_or_jump() -> None:
    marks = (
        Mark("heading", 0, 1, "A", 0),
        Mark("heading", 1, 2, "B", 4),
        Mark("heading", 2, 3, "  C\n c ", 2),
        Mark("heading", 3, 4, "", 1),
    )
    (chunk,) = assemble(Document("d", "01234567", "s", marks=marks), [(5, 8)], context="headings")
    assert chunk.context == "A > C c"


def test_the_rest_of_a_table_gets_its_columns() -> None:
    text = "Fees\n| Day | Euro |\n|---|---|\n| Mon | 3 |\n| Tue | 4 |\nAfter it."
    marks = (
        Mark("heading", 0, 4, "Fees", 1),
        Mark("table", text.index("| Day"), text.index("After")),
    )
    document = Document("d", text, "s", marks=marks)
    spans = [(text.index(word), text.index(word) + 8) for word in ("| Day", "| Tue", "After")]
    chunks = assemble(document, spans, context="headings")
    assert [chunk.context for chunk in chunks] == ["Fees", "Fees\n| Day | Euro |", "Fees"]
    assert [chunk.kind for chunk in chunks] == ["table", "table", "text"]
    assert assemble(document, spans, context="none")[1].context == ""
    labelled = replace(document, marks=(replace(marks[1], label="Day | Euro"),))
    assert assemble(labelled, spans, context="headings")[1].context == "Day | Euro"


def test_the_choice_of_context_is_checked() -> None:
    assert checked_context("both") == "both"
    with pytest.raises(ConfigError, match="headings, title, both, none"):
        checked_context("all")
