"""One question with its Answer in, one record out; many records in, the table's rows out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath

import numpy as np

from ragstack.types import Answer, Citation
from ragstack_evals.answers import best_over, contained, exact_match, token_f1
from ragstack_evals.qa_plan import Asked, Plan
from ragstack_evals.resample import Interval, bootstrap_mean

__all__ = ["CitationRecord", "Record", "failed", "rows_of", "score"]

_MARKER = re.compile(r"\s*\[\d+(?:\s*[,;]\s*\d+)*\]")


@dataclass(frozen=True, slots=True)
class CitationRecord:
    """A citation and whether it holds.

    Attributes:
        verbatim: ``file[start:end]`` is the quote, to the character, and the quote is not blank.
        paragraph: It cites the paragraph that the question was asked on.
        sentence: And there, verbatim, words of a sentence that holds a gold answer.
    """

    source: str
    start: int
    end: int
    quote: str
    verdict: str
    verbatim: bool
    paragraph: bool
    sentence: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one question. An answer that abstains scores 0 on an answerable question.

    Attributes:
        rank: Where the gold paragraph stands among the passages, from 1; 0: nowhere.
        passages: Keys of the passages' paragraphs, best first.
        steps: Seconds by step, as the answer tells them.
        error: What was raised instead of an answer, or an empty string.
    """

    id: str
    kind: str
    question: str
    golds: tuple[str, ...]
    elsewhere: bool
    answer: str
    abstained: bool
    grounded: bool
    exact: float
    f1: float
    contained: float
    rank: int
    passages: tuple[str, ...]
    citations: tuple[CitationRecord, ...]
    seconds: float
    steps: Mapping[str, float]
    usage: Mapping[str, float]
    trust: float | None
    error: str = ""


def score(asked: Asked, answer: Answer, *, plan: Plan, seconds: float) -> Record:
    """Return the record of an answer, checked against the gold answers and the files themselves."""
    said = "" if answer.abstained else _MARKER.sub("", answer.text).strip()
    golds = asked.golds if asked.kind == "answerable" else ()
    keys = tuple(_key(passage.source) for passage in answer.passages)
    return Record(
        id=asked.id,
        kind=asked.kind,
        question=asked.question,
        golds=asked.golds,
        elsewhere=asked.elsewhere,
        answer=answer.text,
        abstained=answer.abstained,
        grounded=answer.grounded,
        exact=best_over(exact_match, said, golds, language=plan.language),
        f1=best_over(token_f1, said, golds, language=plan.language),
        contained=best_over(contained, said, golds, language=plan.language),
        rank=keys.index(asked.paragraph) + 1 if asked.paragraph in keys else 0,
        passages=keys,
        citations=tuple(_citation(citation, asked, plan) for citation in answer.citations),
        seconds=seconds,
        steps=dict(answer.seconds),
        usage=asdict(answer.usage),
        trust=answer.trust,
    )


def failed(asked: Asked, error: Exception, *, seconds: float) -> Record:
    """Return the record of a question that ended in an error: no answer, so 0 on every measure."""
    return Record(
        id=asked.id,
        kind=asked.kind,
        question=asked.question,
        golds=asked.golds,
        elsewhere=asked.elsewhere,
        answer="",
        abstained=False,
        grounded=False,
        exact=0.0,
        f1=0.0,
        contained=0.0,
        rank=0,
        passages=(),
        citations=(),
        seconds=seconds,
        steps={},
        usage={},
        trust=None,
        error=f"{type(error).__name__}: {error}",
    )


def rows_of(records: Sequence[Record], *, seed: int) -> dict[str, Interval]:
    """Return every measure by its name, with its interval over the questions it concerns."""
    kinds = {
        kind: [record for record in records if record.kind == kind]
        for kind in ("answerable", "impossible", "absent")
    }
    answerable, unanswerable = kinds["answerable"], kinds["impossible"] + kinds["absent"]
    answered = [record for record in answerable if not record.abstained and not record.error]
    cited = [citation for record in records for citation in record.citations]
    clean = [record for record in kinds["absent"] if not record.elsewhere]
    columns: dict[str, list[float]] = {
        "token F1": [record.f1 for record in answerable],
        "exact match": [record.exact for record in answerable],
        "answer contained": [record.contained for record in answerable],
        "token F1, where answered": [record.f1 for record in answered],
        "refused wrongly": [float(record.abstained) for record in answerable],
        "refused, unanswerable": [float(record.abstained) for record in unanswerable],
        "  paragraph in the base": [float(record.abstained) for record in kinds["impossible"]],
        "  paragraph left out": [float(record.abstained) for record in kinds["absent"]],
        "  … and words nowhere else": [float(record.abstained) for record in clean],
        "quote verbatim (a citation)": [float(citation.verbatim) for citation in cited],
        "has a citation, where answered": [float(bool(record.citations)) for record in answered],
        "cites the paragraph": [_any(record, "paragraph") for record in answered],
        "cites the sentence": [_any(record, "sentence") for record in answered],
        "grounded, where answered": [float(record.grounded) for record in answered],
        "gold passage first": [float(record.rank == 1) for record in answerable],
        "gold passage shown": [float(record.rank > 0) for record in answerable],
        "seconds a question": [record.seconds for record in records],
        "errors": [float(bool(record.error)) for record in records],
    }
    found = {name: bootstrap_mean(values, seed=seed) for name, values in columns.items()}
    for name, quantile in (("seconds, p50", 0.5), ("seconds, p95", 0.95)):
        if records:
            value = float(np.quantile([record.seconds for record in records], quantile))
            found[name] = Interval(value, value, value, len(records))
    return found


def _citation(citation: Citation, asked: Asked, plan: Plan) -> CitationRecord:
    key = _key(citation.source)
    start, end = citation.start, citation.end
    written = plan.paragraphs.get(key, "")[start:end] if 0 <= start < end else ""
    verbatim = bool(citation.quote.strip()) and written == citation.quote
    right = bool(asked.paragraph) and key == asked.paragraph
    return CitationRecord(
        source=key,
        start=start,
        end=end,
        quote=citation.quote,
        verdict=citation.verdict,
        verbatim=verbatim,
        paragraph=right,
        sentence=right
        and verbatim
        and any(start < stop and begin < end for begin, stop in asked.places),
    )


def _any(record: Record, field: str) -> float:
    return float(any(getattr(citation, field) for citation in record.citations))


def _key(source: str) -> str:
    return PurePath(source).stem
