"""Files of public data sets in, questions and judged collections out; knows no room of ragstack.

The data is no part of the product: it lies in the folder that ``RAGSTACK_DATA`` names, else in
``../shared/data`` beside the repository. Layouts are described in that folder's ``INDEX.md``.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragstack.errors import InputError

__all__ = [
    "DATA_ENVIRONMENT",
    "Collection",
    "GoldAnswer",
    "JudgedDocument",
    "Question",
    "as_collection",
    "data_root",
    "find_collection",
    "find_questions",
    "read_collection",
    "read_questions",
]

DATA_ENVIRONMENT = "RAGSTACK_DATA"
_QUESTION_FILES: Mapping[str, str] = {"squad2": "squad2", "piaf": "piaf_train"}
_CORPUS_NAMES = ("corpus.jsonl.gz", "corpus.jsonl")
# BEIR keeps judgements by split; the one that is reported on comes first.
_QRELS_NAMES = ("qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv", "qrels/train.tsv")


@dataclass(frozen=True, slots=True)
class JudgedDocument:
    """A document of a test collection."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Collection:
    """A test collection: documents, queries by id, and relevance by query and document id."""

    name: str
    documents: tuple[JudgedDocument, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class GoldAnswer:
    """A span of the context that answers: ``context[start : start + len(text)] == text``."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question on one paragraph.

    Attributes:
        title: The article that the paragraph comes from.
        impossible: The paragraph does not answer it, though it looks as if it might.
    """

    id: str
    question: str
    context: str
    answers: tuple[GoldAnswer, ...]
    impossible: bool
    title: str


def data_root() -> Path:
    """Return the folder of the data sets: ``RAGSTACK_DATA``, else ``../shared/data``.

    Raises:
        InputError: There is no such folder.
    """
    named = os.environ.get(DATA_ENVIRONMENT)
    root = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not root.is_dir():
        raise InputError(
            f"the data folder {str(root)!r} is not there",
            hint=f"set {DATA_ENVIRONMENT} to a folder with 'retrieval/' and 'qa/', or give a path",
        )
    return root


def find_collection(name: str) -> Path:
    """Return the folder of a collection given by path or by its name under ``retrieval/``.

    Raises:
        InputError: Neither is there; the message lists the names that are.
    """
    if _corpus_of(Path(name)) is not None:
        return Path(name)
    room = data_root() / "retrieval"
    if _corpus_of(room / name) is not None:
        return room / name
    known = sorted(path.name for path in room.glob("*") if _corpus_of(path) is not None)
    raise InputError(
        f"no collection {name!r}: a folder with 'corpus.jsonl[.gz]', or one of {', '.join(known)}"
    )


def find_questions(name: str) -> Path:
    """Return the file of a question set given by path or by its name under ``qa/``.

    Raises:
        InputError: Neither is there; the message lists the names that are.
    """
    if Path(name).is_file():
        return Path(name)
    room = data_root() / "qa"
    path = room / f"{_QUESTION_FILES.get(name, name)}.jsonl.gz"
    if path.is_file():
        return path
    known = sorted(found.name.removesuffix(".jsonl.gz") for found in room.glob("*.jsonl.gz"))
    raise InputError(
        f"no question set {name!r}: a '.jsonl[.gz]' file, or one of {', '.join(known)}"
    )


def read_collection(folder: Path) -> Collection:
    """Return a test collection in BEIR layout: corpus, queries, and qrels.tsv or qrels/SPLIT.tsv.

    Raises:
        InputError: A file is missing or is not in that layout; says which line.
    """
    corpus = _corpus_of(folder)
    if corpus is None:
        raise InputError(f"{str(folder)!r} holds no 'corpus.jsonl' or 'corpus.jsonl.gz'")
    documents = tuple(
        JudgedDocument(
            id=_field(row, "_id", place),
            title=row.get("title") or "",
            text=_field(row, "text", place),
        )
        for place, row in _rows(corpus)
    )
    queries = {
        _field(row, "_id", place): _field(row, "text", place)
        for place, row in _rows(_file_of(folder, ("queries.jsonl", "queries.jsonl.gz")))
    }
    judgements = _file_of(folder, _QRELS_NAMES)
    qrels = _read_qrels(judgements)
    strangers = [query_id for query_id in qrels if query_id not in queries]
    if strangers:
        raise InputError(
            f"{str(folder)!r}: {judgements.name} judges the query {strangers[0]!r}, "
            "which is not there"
        )
    return Collection(folder.name, documents, queries, qrels)


def read_questions(path: Path) -> list[Question]:
    """Return the questions of a SQuAD-like file, one JSON object a line.

    Raises:
        InputError: The file is not there or not in that layout; says which line.
    """
    return [_question(row, place) for place, row in _rows(path)]


def as_collection(questions: Sequence[Question], *, name: str) -> Collection:
    """Return the test collection that questions on paragraphs make: find a question's paragraph.

    Unanswerable questions are left out. A paragraph's id is its number in order of appearance.
    """
    asked = [question for question in questions if not question.impossible]
    contexts = dict.fromkeys(question.context for question in questions)
    ids = {context: f"{name}-{number}" for number, context in enumerate(contexts)}
    return Collection(
        name,
        tuple(JudgedDocument(key, "", context) for context, key in ids.items()),
        {question.id: question.question for question in asked},
        {question.id: {ids[question.context]: 1} for question in asked},
    )


def _question(row: Mapping[str, Any], place: str) -> Question:
    context = _field(row, "context", place)
    answers = []
    for item in row.get("answers") or ():
        text, start = item.get("text", ""), item.get("start", -1)
        if not text or context[start : start + len(text)] != text:
            raise InputError(
                f"{place}: the answer {text!r} does not stand at {start!r} of its context"
            )
        answers.append(GoldAnswer(text, start))
    return Question(
        id=_field(row, "id", place),
        question=_field(row, "question", place),
        context=context,
        answers=tuple(answers),
        impossible=bool(row.get("is_impossible", False)),
        title=row.get("source_title") or "",
    )


def _corpus_of(folder: Path) -> Path | None:
    return next((folder / name for name in _CORPUS_NAMES if (folder / name).is_file()), None)


def _file_of(folder: Path, names: Sequence[str]) -> Path:
    """Return the first of these files that is there; else the first, whose absence is told."""
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def _raw(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # Only "\n" ends a line: str.splitlines also cuts at U+2028 and U+0085, which stand inside
    # texts.
    for number, line in enumerate(_raw(path).decode("utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path.name}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{place}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected a JSON object, got {line[:40]!r}")
        yield place, row


def _field(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise InputError(f"{place}: {name!r} must be text, got {value!r}")
    return value


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    lines = _raw(path).decode("utf-8").split("\n")
    for number, line in enumerate(lines[1:], start=2):  # the first line is the header
        if not line.strip():
            continue
        try:
            query_id, document_id, score = line.rstrip("\r").split("\t")
            found.setdefault(query_id, {})[document_id] = int(score)
        except ValueError as error:
            raise InputError(
                f"{path.name}, line {number}: expected 'query-id, corpus-id, score', got {line!r}"
            ) from error
    return found
