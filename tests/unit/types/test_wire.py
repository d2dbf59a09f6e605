from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from ragstack.errors import RemoteError
from ragstack.testing.catalogs import MARKS, document_of
from ragstack.types import (
    Answer,
    Chunk,
    Citation,
    Delta,
    DocumentInfo,
    Failure,
    IngestReport,
    Money,
    NearDuplicate,
    Passage,
    Sentence,
    TraceStep,
    Turn,
    Usage,
    wire,
)

ODD = "a\x00b \udfff é 😀 日本 \u2028\r\n"
META = {"title": ODD, ODD: "x", "n": 2**70, "f": 0.1, "t": True, "none": None, "one": 1.0}
MARK = MARKS[1]
CHUNK = Chunk("d:1.x", "0a1b2c3d", 3, 9, ODD, ODD, "a:b-1:" + ODD, META, ("anna", "group:staff"))
PASSAGE = Passage(CHUNK, 1 / 3, "/tmp/" + ODD, {"lexical": 9.81, "vector": 1.0})
USAGE = Usage(1, 2, 3, 0.1, 4, Money(Decimal("0.00000012300"), "EUR"), 5)
TRACE = (TraceStep("search", (ODD, ""), 0.1, USAGE), TraceStep("answer"))
ANSWER = Answer(
    ODD,
    False,
    True,
    (Sentence(0, 3, "verbatim"),),
    (
        Citation(1, CHUNK.id, "d", "s", 3, 9, ODD, "supported", MARK),
        Citation(2, CHUNK.id, "d", "s", 3, 9, ODD, "verbatim"),
    ),
    (PASSAGE, PASSAGE),
    USAGE,
    0.1 + 0.2,
    ("a note",),
    {"retrieve": 1 / 3, "generate": 2.0},
    TRACE,
)
DOCUMENT = document_of(
    "/tmp/" + ODD, ODD * 9, meta=META, marks=(MARK, MARKS[2]), readers=(ODD, "b")
)
INFO = DocumentInfo("d", "s", "digest", "origin", META, ("anna",), 90, 3)
REPORT = IngestReport(
    ("a",), ("b",), ("c",), ("d",), (Failure("e", ODD),), (Failure("f", "g"),), 3, 0.1, ("h",),
    ("i",), (NearDuplicate("j", "k", 0.9),),
)  # fmt: skip


def _there_and_back(data: Any) -> Any:
    return json.loads(json.dumps(data))


@pytest.mark.parametrize(
    ("write", "read", "value"),
    [
        (wire.passage_json, wire.passage_of, PASSAGE),
        (wire.passage_json, wire.passage_of, Passage(Chunk("d", "v", 0, 1, "x"), 1.0, "s")),
        (wire.trace_json, wire.trace_of, TRACE),
        (wire.answer_json, wire.answer_of, ANSWER),
        (wire.answer_json, wire.answer_of, Answer("", True, False)),
        (wire.citation_json, wire.citation_of, ANSWER.citations[0]),
        (wire.delta_json, wire.delta_of, Delta(ODD, ODD, None, "stop", USAGE)),
        (wire.turn_json, wire.turn_of, Turn(ODD, "b", "c")),
        (wire.document_json, wire.document_of, DOCUMENT),
        (wire.info_json, wire.info_of, INFO),
        (wire.report_json, wire.report_of, REPORT),
    ],
)
def test_what_is_written_is_read_to_the_last_bit(write: Any, read: Any, value: Any) -> None:
    found = read(_there_and_back(write(value)))
    assert found == value
    assert repr(found) == repr(value)  # 1, 1.0 and True are equal, and not the same


@pytest.mark.parametrize(
    ("read", "data", "value"),
    [
        (
            wire.passage_of,
            {
                "document_id": "d",
                "chunk_id": "d.v:0-1:text",
                "source": "s",
                "start": 0,
                "end": 1,
                "text": "x",
                "context": "",
                "score": 2,
                "trail": {},
                "from the future": 1,
            },
            Passage(Chunk("d", "v", 0, 1, "x"), 2.0, "s"),
        ),
        (
            wire.answer_of,
            {"answer": "x", "abstained": False, "grounded": True, "new": []},
            Answer("x", False, True),
        ),
        (
            wire.info_of,
            {"id": "d", "source": "s", "length": 3, "chunks": 1, "title": None},
            DocumentInfo("d", "s", "", "", {}, (), 3, 1),
        ),
        (wire.report_of, {"added": ["a"], "queued": 1}, IngestReport(added=("a",))),
        (wire.delta_of, {"text": "x", "reasoning": ""}, Delta("x")),
    ],
)
def test_another_release_is_understood(read: Any, data: Any, value: Any) -> None:
    assert read(data) == value


def test_a_passage_tells_its_title_and_its_mark() -> None:
    shown = wire.passage_json(PASSAGE, MARK)
    assert shown["title"] == ODD
    assert shown["mark"] == {
        "kind": "page", "start": 0, "end": 30, "label": "", "level": 0, "page": 3,
        "box": [0.5, 1.0, 20.25, 700.0], "seconds": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (wire.passage_of, {}),
        (wire.passage_of, []),
        (wire.passage_of, wire.passage_json(PASSAGE) | {"chunk_id": "another"}),
        (wire.passage_of, wire.passage_json(PASSAGE) | {"score": "high"}),
        (wire.answer_of, {"answer": 3}),
        (wire.answer_of, None),
        (wire.answer_of, wire.answer_json(ANSWER) | {"usage": {"cost": {"amount": "x"}}}),
        (wire.document_of, {"id": "d", "source": "s"}),
        (wire.trace_of, [{}]),
    ],
)
def test_what_is_no_such_value_is_an_error_of_the_other_side(read: Any, data: Any) -> None:
    with pytest.raises(RemoteError, match="the server sent what is no answer to this"):
        wire.parsed(read, data)
