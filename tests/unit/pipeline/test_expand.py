from __future__ import annotations

from pathlib import Path

from ragstack.pipeline.expand import expand
from ragstack.protocols import Expansion
from ragstack.types import Chunk, Document, Passage, Scalar

TEXT = "One goes. Two goes. Three goes. Four goes."
DOCUMENT = Document("d", TEXT, "d.txt")
STARTS = [TEXT.index(word) for word in ("One", "Two", "Three", "Four")]


def _passage(number: int, score: float, **meta: Scalar) -> Passage:
    start = STARTS[number]
    end = TEXT.index(".", start) + 1
    chunk = Chunk("d", DOCUMENT.version, start, end, TEXT[start:end], meta={"page": 1, **meta})
    return Passage(chunk, score, "d.txt", {"vector": score})


def _child(number: int, score: float) -> Passage:
    return _passage(number, score, parent=f"0-{len(TEXT)}", siblings=4)


def _expand(*passages: Passage, merge: float = 0.5, document: Document | None = DOCUMENT) -> list[Passage]:  # fmt: skip  # noqa: E501
    return expand(passages, Expansion(candidates=4, merge=merge), lambda _id: document)


def test_enough_children_become_their_parent() -> None:
    found = _expand(_child(2, 0.9), _child(1, 0.5))
    assert len(found) == 1
    chunk = found[0].chunk
    assert (chunk.start, chunk.end, chunk.text, chunk.kind) == (0, len(TEXT), TEXT, "parent")
    assert chunk.meta == {"page": 1}
    assert found[0].score == 0.9
    assert found[0].trail == {"vector": 0.9, "children": 2.0}


def test_too_few_children_stay_as_they_are() -> None:
    passages = [_child(2, 0.9), _child(1, 0.5)]
    assert _expand(*passages, merge=0.75) == passages
    assert _expand(*passages, merge=0.0) == passages
    assert _expand(_child(2, 0.9)) == [_child(2, 0.9)]


def test_a_parent_stands_where_its_best_child_stood() -> None:
    other = Passage(Chunk("e", "v", 0, 3, "Yes"), 0.7, "e.txt")
    found = _expand(_child(0, 0.9), other, _child(3, 0.2))
    assert [passage.chunk.document_id for passage in found] == ["d", "e"]


def test_a_window_is_opened_and_what_it_shows_is_not_repeated() -> None:
    window = f"0-{TEXT.index('. Four') + 1}"
    found = _expand(_passage(1, 0.9, window=window), _passage(2, 0.8), _passage(3, 0.7))
    assert [passage.chunk.text for passage in found] == [
        "One goes. Two goes. Three goes.",
        "Four goes.",
    ]
    assert found[0].trail == {"vector": 0.9}


def test_a_changed_or_missing_document_changes_nothing() -> None:
    passages = [_child(2, 0.9), _child(1, 0.5), _passage(3, 0.4, window="0-99")]
    assert _expand(*passages, document=Document("d", TEXT + " More.", "d.txt")) == passages
    assert _expand(*passages, document=None) == passages


def test_metadata_that_are_no_span_are_a_users_own() -> None:
    for value in ("tall", "1-2-3", "-4", "9-1", "0-10000", 7, None, True, "¹-²"):
        passage = _passage(1, 0.9, window=value, parent=value, siblings="many")
        assert _expand(passage, passage)[0] == passage


def test_a_base_shows_parents_and_windows(tmp_path: Path, open_stack) -> None:  # type: ignore[no-untyped-def]
    text = "\n\n".join(
        f"The {name} lies still. The {name} is green. The {name} is deep. The {name} is old."
        for name in ("harbour", "mill", "bridge", "meadow")
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "places.txt").write_text(text, "utf-8")
    for chunk in (
        {"use": "hierarchical", "size": 8, "parent": 40, "least": 4},
        {"use": "window", "neighbours": 1},
    ):
        stack = open_stack(str(chunk["use"]), overrides={"chunk": chunk})
        stack.ingest(tmp_path / "in")
        best = stack.search("Is the bridge deep or green?", k=2)
        document = stack.document(best[0].chunk.document_id)
        assert all(p.chunk.text == document.text[p.chunk.start : p.chunk.end] for p in best)
        assert best[0].chunk.text.count("bridge") > 1
        assert len(best) <= 2
