"""A plan and a stack in, records out: asks on and on, and can resume where it was cut off.

The log is a JSON-lines file: a header that says what is measured, then one record for each finished
question, written at once. A run that resumes refuses a log of other settings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Protocol

from ragstack.errors import InputError, RagstackError
from ragstack.types import Answer
from ragstack_evals.qa_plan import Asked, Plan
from ragstack_evals.qa_score import CitationRecord, Record, failed, score

__all__ = ["Asker", "QuestionLog", "ask_all"]


class Asker(Protocol):
    """What answers: a Stack, a Client, or a double in a test."""

    def ask(self, question: str, *, style: str) -> Answer:
        """Return the answer."""
        ...


class QuestionLog:
    """Finished questions on disk, one line each."""

    def __init__(self, path: Path, *, header: Mapping[str, object], resume: bool) -> None:
        """Open the log; without ``resume`` it starts anew.

        Raises:
            InputError: The log to resume was made with other settings, or is no such log.
        """
        self.path = path
        self.records: dict[str, Record] = {}
        self._header = json.loads(json.dumps(header))
        self._file = self._opened(resume)

    def append(self, record: Record) -> None:
        """Keep a finished question."""
        self.records[record.id] = record
        self._file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._file.close()

    def __enter__(self) -> QuestionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self, resume: bool) -> IO[str]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume and self.path.is_file():
            self._read()
        # Written whole again: half a line left by a kill must not spoil the next one.
        lines = [json.dumps({"header": self._header}, ensure_ascii=False)]
        lines += [json.dumps(asdict(item), ensure_ascii=False) for item in self.records.values()]
        draft = self.path.with_name(f"{self.path.name}.draft")
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        draft.replace(self.path)
        return self.path.open("a", encoding="utf-8")

    def _read(self) -> None:
        lines = self.path.read_text(encoding="utf-8").split("\n")
        header = _object(lines[0]).get("header")
        if header != self._header:
            raise InputError(
                f"{str(self.path)!r} was made with {header!r}; this run has {self._header!r}",
                hint="give the same options, another --json file, or leave --resume out",
            )
        for line in lines[1:]:
            row = _object(line)
            if row:
                record = _record(row)
                self.records[record.id] = record


def ask_all(
    asker: Asker,
    plan: Plan,
    log: QuestionLog,
    *,
    style: str,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Record]:
    """Yield the record of each question that the log does not hold yet, in the plan's order."""
    for asked in plan.asked:
        if asked.id not in log.records:
            record = _ask(asker, asked, plan, style=style, clock=clock)
            log.append(record)
            yield record


def _ask(
    asker: Asker, asked: Asked, plan: Plan, *, style: str, clock: Callable[[], float]
) -> Record:
    begun = clock()
    try:
        answer = asker.ask(asked.question, style=style)
    except RagstackError as error:
        return failed(asked, error, seconds=clock() - begun)
    return score(asked, answer, plan=plan, seconds=clock() - begun)


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _record(row: dict[str, Any]) -> Record:
    cited = tuple(CitationRecord(**item) for item in row.pop("citations"))
    for name in ("golds", "passages"):
        row[name] = tuple(row[name])
    return Record(**row, citations=cited)
