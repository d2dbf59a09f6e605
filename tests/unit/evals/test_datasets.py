from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ragstack.errors import InputError
from ragstack_evals import datasets
from ragstack_evals.datasets import (
    GoldAnswer,
    JudgedDocument,
    data_root,
    find_collection,
    find_questions,
    read_collection,
    read_questions,
)

ROWS = [{"_id": "d1", "title": "One", "text": "first\u2028line"}, {"_id": "d2", "text": ""}]


def lines_of(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture
def collection_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "retrieval" / "tiny"
    folder.mkdir(parents=True)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(lines_of(ROWS)))
    (folder / "queries.jsonl").write_bytes(lines_of([{"_id": "q1", "text": "which?"}]))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    return folder


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "qa").mkdir()
    (tmp_path / "retrieval").mkdir(exist_ok=True)
    monkeypatch.setenv("RAGSTACK_DATA", str(tmp_path))
    return tmp_path


def question_row(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "id": "1",
        "question": "Where?",
        "context": "It stands in Paris.",
        "answers": [{"text": "Paris", "start": 13}],
        "is_impossible": False,
        "source_title": "Tower",
    }
    return {**row, **changes}


def test_a_collection_is_read_whole(collection_folder: Path) -> None:
    found = read_collection(collection_folder)
    assert found.name == "tiny"
    assert found.documents == (
        JudgedDocument("d1", "One", "first\u2028line"),
        JudgedDocument("d2", "", ""),
    )
    assert found.queries == {"q1": "which?"}
    assert found.qrels == {"q1": {"d1": 2, "d2": 0}}


def test_a_collection_is_found_by_name_and_by_path(
    collection_folder: Path, data_folder: Path
) -> None:
    assert find_collection("tiny") == collection_folder
    assert find_collection(str(collection_folder)) == collection_folder


def test_an_unknown_collection_lists_the_known(collection_folder: Path, data_folder: Path) -> None:
    with pytest.raises(InputError, match=r"'tinny'.*tiny"):
        find_collection("tinny")


def test_judgements_of_an_unknown_query_are_refused(collection_folder: Path) -> None:
    (collection_folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq7\td1\t1\n")
    with pytest.raises(InputError, match="'q7'"):
        read_collection(collection_folder)


@pytest.mark.parametrize("line", ["q1\td1", "q1\td1\tmuch"])
def test_a_bad_judgement_names_its_line(collection_folder: Path, line: str) -> None:
    (collection_folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{line}\n")
    with pytest.raises(InputError, match=r"qrels\.tsv, line 2"):
        read_collection(collection_folder)


@pytest.mark.parametrize(
    "content", [b'{"_id": "d1", "text"', b"[1]", b'{"_id": 3, "text": "x"}', b'{"_id": "d"}']
)
def test_a_bad_row_names_its_line(collection_folder: Path, content: bytes) -> None:
    (collection_folder / "queries.jsonl").write_bytes(b"\n" + content)
    with pytest.raises(InputError, match=r"queries\.jsonl, line 2"):
        read_collection(collection_folder)


def test_half_a_gzip_file_is_an_error_of_its_own(collection_folder: Path) -> None:
    corpus = collection_folder / "corpus.jsonl.gz"
    corpus.write_bytes(corpus.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_collection(collection_folder)


def test_a_folder_without_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no 'corpus\.jsonl'"):
        read_collection(tmp_path)


def test_questions_are_read_whole(data_folder: Path) -> None:
    rows = [question_row(), question_row(id="2", answers=[], is_impossible=True)]
    (data_folder / "qa" / "piaf_train.jsonl.gz").write_bytes(gzip.compress(lines_of(rows)))
    first, second = read_questions(find_questions("piaf"))
    assert first.answers == (GoldAnswer("Paris", 13),)
    assert (first.title, first.impossible, second.impossible) == ("Tower", False, True)


def test_an_answer_that_does_not_stand_where_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_bytes(lines_of([question_row(answers=[{"text": "Paris", "start": 12}])]))
    with pytest.raises(InputError, match=r"wrong\.jsonl, line 1: the answer 'Paris'"):
        read_questions(find_questions(str(path)))


def test_an_unknown_question_set_lists_the_known(data_folder: Path) -> None:
    (data_folder / "qa" / "squad2.jsonl.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(InputError, match=r"'squad'.*squad2"):
        find_questions("squad")


def test_a_missing_data_folder_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGSTACK_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="RAGSTACK_DATA"):
        data_root()


def test_without_the_variable_the_folder_beside_the_repository_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "repository" / "evals" / "ragstack_evals" / "datasets.py"
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.delenv("RAGSTACK_DATA", raising=False)
    monkeypatch.setattr(datasets, "__file__", str(module))
    assert data_root() == tmp_path / "shared" / "data"
