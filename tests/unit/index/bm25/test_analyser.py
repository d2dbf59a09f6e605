from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.errors import ConfigError, IndexStateError
from ragstack.index.bm25.index import Bm25Index
from ragstack.testing.indexes import chunk_of


def found(index: Bm25Index, query: str) -> list[str]:
    (hits,) = index.search([query], k=9)
    return [hit.chunk_id.partition(".")[0] for hit in hits]


def test_another_analyser_needs_another_index(tmp_path: Path) -> None:
    index = Bm25Index(tmp_path, analyser={"views": {"prefix": 0.5}})
    index.add([chunk_of("a", "la création du parc"), chunk_of("b", "la création créative")])
    assert found(index, "créatrice") == ["b", "a"]
    index.commit(1)
    index.close()
    with pytest.raises(IndexStateError, match="views"):
        Bm25Index(tmp_path)
    with pytest.raises(ConfigError, match="no option 'view'"):
        Bm25Index(tmp_path, analyser={"view": {}})
    again = Bm25Index(tmp_path, analyser={"views": {"prefix": 0.1}})
    assert found(again, "création") == ["b", "a"]
    again.close()


def test_synonyms_find_less_than_the_word_itself(tmp_path: Path) -> None:
    (tmp_path / "synonyms.txt").write_text("car, automobile ^ 0.5\n")
    options = {"synonyms": str(tmp_path / "synonyms.txt")}
    index = Bm25Index(tmp_path / "index", analyser=options, adjacency=0.5)
    index.add([chunk_of("a", "the automobile"), chunk_of("c", "the car"), chunk_of("x", "tree")])
    (hits,) = index.search(["cars"], k=3)
    assert found(index, "cars") == ["c", "a"]
    assert hits[1].score == pytest.approx(hits[0].score / 2)
    index.add([chunk_of("d", "red car"), chunk_of("e", "car red")])
    assert found(index, "red cars")[:2] == ["d", "e"]
    index.close()
