from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from ragstack.errors import BaseError, ConfigError, IndexStateError
from ragstack.filters import Eq, In, Not
from ragstack.index import tantivy as module
from ragstack.index.tantivy import TantivyIndex
from ragstack.testing.indexes import chunk_of, random_chunks


def ids(index: TantivyIndex, query: str, *, k: int = 5) -> list[str]:
    return [hit.chunk_id.partition(".")[0] for hit in index.search([query], k=k)[0]]


@pytest.fixture
def polyglot(tmp_path: Path) -> TantivyIndex:
    index = TantivyIndex(tmp_path / "index")
    index.add(
        [
            chunk_of("en", "The houses near the mills", meta={"language": "en"}),
            chunk_of("fr", "Les élèves n’ont qu’un été", meta={"language": "fr-FR"}),
            chunk_of("de", "Die Häuser am Fluss", meta={"language": "de"}),
            chunk_of("none", "Some chunks name no languages"),
            chunk_of("code", "def loadIndex(file_name):", kind="code"),
            chunk_of("ja", "東京タワーの高さ", meta={"language": "ja"}),
        ]
    )
    return index


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("house", "en"),
        ("milling", "en"),
        ("eleve", "fr"),
        ("l'élève", "fr"),
        ("ETE", "fr"),
        ("hauser", "de"),
        ("Häuser am Fluss", "de"),
        ("language", "none"),
        ("load index", "code"),
        ("load_index", "code"),
        ("filename", "code"),
        ("東京の高さ", "ja"),
    ],
)
def test_language_of_each_chunk(polyglot: TantivyIndex, query: str, first: str) -> None:
    assert ids(polyglot, query)[0] == first
    polyglot.close()


def test_minority_language_is_measured_by_the_common_length(tmp_path: Path) -> None:
    """Were there a field for each language, two French chunks among English ones would score 0."""
    index = TantivyIndex(tmp_path)
    text = "un bail est un contrat par lequel une partie loue sa maison"
    index.add([chunk_of("fr", text, meta={"language": "fr"})])
    index.add(
        [
            chunk_of(
                f"e{n}", f"a lease is a contract for a house number {n}", meta={"language": "en"}
            )
            for n in range(200)
        ]
    )
    (hits,) = index.search(["contrat de bail"], k=1)
    assert hits[0].chunk_id.startswith("fr.")
    assert hits[0].score > 5
    index.close()


def test_score_is_bm25(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path)
    index.add([chunk_of("a", "rose rose lily"), chunk_of("b", "moss lily"), chunk_of("c", "fern")])
    (hits,) = index.search(["rose"], k=3)
    # idf = ln(1 + (3 - 1 + 0.5) / 1.5); tf = 2 (k1 + 1) / (2 + k1 (1 - b + b 3 / 2))
    assert [hit.score for hit in hits] == pytest.approx([0.980829 * 4.4 / 3.65], rel=1e-3)
    index.close()


def test_word_asked_twice_counts_twice(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path)
    index.add(random_chunks(9, seed=1))
    once, twice = (index.search([query], k=9)[0] for query in ("rose", "rose roses"))
    assert [hit.score for hit in twice] == pytest.approx([2 * hit.score for hit in once])
    index.close()


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9])
def test_where_leaves_scores_as_they_are(tmp_path: Path, share: float) -> None:
    """By name, from more candidates, or both ways round: one ranking, filtered."""
    index = TantivyIndex(tmp_path)
    some = int(share * 3_000)
    chunks = [
        chunk_of(
            f"d{n}", f"common {'rose ' * (n % 7)} {'lily ' * (n % 3)}", meta={"some": n < some}
        )
        for n in range(3_000)
    ]
    index.add(chunks)
    (full,) = index.search(["common rose lily"], k=3_000)
    for where, right in ((Eq("some", True), True), (Not(In("some", (True,))), False)):
        inside = {chunk.id for chunk in chunks if chunk.meta["some"] is right}
        expected = [hit for hit in full if hit.chunk_id in inside]
        for k in (1, 10, 500):
            (hits,) = index.search(["common rose lily"], k=k, where=where)
            assert hits == expected[:k]
    index.close()


def test_other_languages_need_another_index(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path, languages=["de"])
    index.add([chunk_of("a", "Häuser", meta={"language": "de"})])
    index.commit(1)
    index.close()
    with pytest.raises(IndexStateError, match="made with"):
        TantivyIndex(tmp_path)
    with pytest.raises(ConfigError):
        TantivyIndex(tmp_path, languages=["xx"])
    again = TantivyIndex(tmp_path, languages=("de",))
    assert ids(again, "Haus") == ["a"]
    again.close()


def test_another_analyser_needs_another_index(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path, analyser={"views": {"prefix": 0.5}})
    index.add([chunk_of("a", "la création du parc"), chunk_of("b", "la création créative")])
    assert ids(index, "créatrice") == ["b", "a"]
    index.commit(1)
    index.close()
    with pytest.raises(IndexStateError, match="views"):
        TantivyIndex(tmp_path)
    with pytest.raises(ConfigError, match="no option 'view'"):
        TantivyIndex(tmp_path, analyser={"view": {}})
    # Weights are of queries: what is indexed stays the same.
    again = TantivyIndex(tmp_path, analyser={"views": {"prefix": 0.1}})
    assert ids(again, "création") == ["b", "a"]
    again.close()


def test_synonyms_find_less_than_the_word_itself(tmp_path: Path) -> None:
    (tmp_path / "synonyms.txt").write_text("car, automobile ^ 0.5\n")
    index = TantivyIndex(tmp_path / "index", analyser={"synonyms": str(tmp_path / "synonyms.txt")})
    index.add([chunk_of("a", "the automobile"), chunk_of("c", "the car"), chunk_of("x", "tree")])
    (hits,) = index.search(["cars"], k=3)
    assert ids(index, "cars") == ["c", "a"]
    assert hits[1].score == pytest.approx(hits[0].score / 2, rel=1e-3)
    index.close()


@pytest.mark.parametrize("how", ["cut", "gone", "meta", "segment", "empty"])
def test_damage_is_seen(tmp_path: Path, how: str) -> None:
    index = TantivyIndex(tmp_path)
    index.add(random_chunks(20, seed=1))
    index.commit(1)
    index.close()
    segments = tmp_path / "segments-1"
    log = tmp_path / "rows-0.log"
    if how == "cut":
        log.write_bytes(log.read_bytes()[:-9])
    elif how == "gone":
        shutil.rmtree(segments)
    elif how == "meta":
        (segments / "meta.json").write_text("{")
    elif how == "segment":
        for path in segments.glob("*.term"):
            path.unlink()
    else:
        for path in segments.glob("*.idx"):
            path.unlink()
            path.write_bytes(b"")
    with pytest.raises(IndexStateError) as caught:
        broken = TantivyIndex(tmp_path)
        broken.search(["common"], k=1)
    assert "delete the folder" in caught.value.hint
    shutil.rmtree(tmp_path)
    TantivyIndex(tmp_path).close()


def test_folder_holds_what_the_manifest_names(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path)
    for number in range(12):
        index.add(random_chunks(5, seed=number))
        index.commit(number)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"manifest.json", "writer.lock", "rows-0.log", "segments-12"}
    index.commit(99)  # nothing new: no other segments
    assert (tmp_path / "segments-12").exists()
    index.close()
    assert len(TantivyIndex(tmp_path)) == 5


def test_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REWRITE", 1)
    index = TantivyIndex(tmp_path)
    chunks = random_chunks(300, seed=1)
    for number in range(6):
        index.add(chunks)
        index.commit(number)
    assert index._rows.state.written < 1_000
    assert index._rows.size < 700
    assert {path.name for path in tmp_path.glob("rows-*")} == {"rows-1.log"}
    again = TantivyIndex(tmp_path)
    assert again.search(["common rose"], k=400) == index.search(["common rose"], k=400)
    index.close()
    again.close()


def test_searching_leaves_no_trace(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path / "nowhere")
    assert index.search(["a"], k=1) == [[]]
    assert not (tmp_path / "nowhere").exists()
    index.close()
    with pytest.raises(BaseError, match="is closed"):
        index.search(["a"], k=1)


def test_merges_of_a_writer_that_was_given_up(tmp_path: Path) -> None:
    """tantivy merges in threads: they once wrote to the folder that the next writer was making."""
    index, dice = TantivyIndex(tmp_path), random.Random(1)
    words = [f"word{number}" for number in range(500)]
    for part in range(60):
        text = " ".join(["common", *dice.choices(words, k=100)])
        index.add([chunk_of(f"{part}-{n}", f"{n} {text}") for n in range(200)])
        index.search(["common"], k=1)
        if part % 5 == 4:
            index.close()
            index = TantivyIndex(tmp_path)
        else:
            index.commit(part + 1)
    assert len(index) == 48 * 200
    index.commit(61)
    kept = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
    assert kept == {"manifest.json", "rows", "segments", "writer.lock"}
    assert len(list(next(tmp_path.glob("segments-*")).glob("*.term"))) < 10
    index.close()
