"""The folder ``chunking`` of the public data in, its texts and questions with gold spans out."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ragstack.errors import InputError
from ragstack.types import Document, Span, document_id_of
from ragstack_evals.datasets import DATA_ENVIRONMENT, data_root

__all__ = ["Corpora", "SpanQuestion", "read_corpora"]


@dataclass(frozen=True, slots=True)
class SpanQuestion:
    """A question and the spans of one document that answer it together."""

    question: str
    document_id: str
    gold: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Corpora:
    """Texts by name, and the questions on them."""

    documents: Mapping[str, Document]
    questions: tuple[SpanQuestion, ...]


def read_corpora(folder: Path | None = None, *, characters: int = 0) -> Corpora:
    """Return the corpora of a folder that is laid out as the public data's ``chunking``.

    Args:
        characters: Only so many of each text, and the questions on them; 0 is all.

    Raises:
        InputError: There is no such data, or a gold span does not say what the text says there.
    """
    place = folder or data_root() / "chunking"
    table = place / "questions.csv.gz"
    if not table.is_file():
        raise InputError(
            f"{str(place)!r} holds no chunking data",
            hint=f"{DATA_ENVIRONMENT} names the folder of evaluation data",
        )
    documents = {}
    for path in sorted((place / "corpora").glob("*.md.gz")):
        name = path.name.partition(".")[0]
        text = gzip.decompress(path.read_bytes()).decode("utf-8")[: characters or None]
        documents[name] = Document(document_id_of(name), text, name, meta={"language": "en"})
    lines = gzip.decompress(table.read_bytes()).decode("utf-8").splitlines(keepends=True)
    questions = []
    for row in csv.DictReader(lines):
        document = documents[row["corpus_id"]]
        found = json.loads(row["references"])
        gold = tuple((int(r["start_index"]), int(r["end_index"])) for r in found)
        if any(end > len(document.text) for _, end in gold):
            if characters:
                continue
            raise InputError(f"a gold span of {row['question']!r} lies behind the end of its text")
        for reference, (start, end) in zip(found, gold, strict=True):
            if document.text[start:end].strip() != reference["content"].strip():
                raise InputError(
                    f"the gold span {start}-{end} of {row['question']!r} is not what "
                    f"{document.source!r} says there"
                )
        questions.append(SpanQuestion(row["question"], document.id, gold))
    return Corpora(documents, tuple(questions))
