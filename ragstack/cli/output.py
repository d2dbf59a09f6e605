"""Values in, lines for a person or JSON for a program out. Nothing else prints."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ragstack.types import Answer, Attribution, Citation, IngestReport, Mark, Passage, Usage

__all__ = [
    "answer_json",
    "attribution_json",
    "console",
    "errors",
    "passage_json",
    "place_of",
    "print_answer",
    "print_attribution",
    "print_json",
    "print_passages",
    "print_report",
    "report_json",
    "shortened",
]

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_VERDICTS = {"verbatim": "green", "supported": "yellow", "unsupported": "red"}


def print_json(value: object) -> None:
    """Print a value as JSON: lone surrogates and control characters escaped, one object a call."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")


def passage_json(passage: Passage) -> dict[str, Any]:
    """Return a passage as ``search --json`` shows it."""
    chunk = passage.chunk
    return {
        "document_id": chunk.document_id,
        "source": passage.source,
        "chunk_id": chunk.id,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "context": chunk.context,
        "score": passage.score,
        "trail": dict(passage.trail),
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as ``ask --json`` shows it."""
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "grounded": answer.grounded,
        "sentences": [dataclasses.asdict(sentence) for sentence in answer.sentences],
        "citations": [_citation_json(citation) for citation in answer.citations],
        "passages": [passage_json(passage) for passage in answer.passages],
        "usage": _usage_json(answer.usage),
        "trust": None if answer.trust is None else round(answer.trust, 4),
        "seconds": {key: round(value, 4) for key, value in answer.seconds.items()},
        "notes": list(answer.notes),
    }


def attribution_json(found: Attribution) -> dict[str, Any]:
    """Return what passages did for an answer as ``ask --attribution --json`` shows it."""
    return {
        "parts": [
            {
                **dataclasses.asdict(part),
                "score": round(part.score, 4),
                "share": round(part.share, 4),
            }
            for part in found.parts
        ],
        "logprob": round(found.logprob, 4),
        "exact": found.exact,
        "seconds": round(found.seconds, 4),
    }


def _usage_json(usage: Usage) -> dict[str, Any]:
    cost = usage.cost
    # An amount of money is exact: as text, since JSON's numbers are read as floats.
    money = None if cost is None else {"amount": f"{cost.amount:f}", "currency": cost.currency}
    return {**dataclasses.asdict(usage), "cost": money}


def report_json(report: IngestReport) -> dict[str, Any]:
    """Return an ingest's report as ``ingest --json`` shows it."""
    return dataclasses.asdict(report)


def print_passages(passages: list[Passage]) -> None:
    """Print passages with their place and the trail of their scores."""
    if not passages:
        console.print("nothing found")
    for number, passage in enumerate(passages, start=1):
        chunk = passage.chunk
        trail = "  ".join(f"{name} {score:.3f}" for name, score in passage.trail.items())
        place = f"{shortened(passage.source)}:{chunk.start}-{chunk.end}"
        console.print(f"[bold]{number}. {escape(place)}[/bold]  [dim]{escape(trail)}[/dim]")
        if chunk.context:
            console.print(f"   [dim]{escape(chunk.context)}[/dim]")
        console.print(f"   {escape(_excerpt(chunk.text))}\n")


def print_answer(answer: Answer, *, text: bool = True) -> None:
    """Print an answer with its citations; the text itself only where it was not streamed."""
    if text:
        console.print(f"\n{_coloured(answer)}")
    for note in answer.notes:
        console.print(f"[yellow]note: {escape(note)}[/yellow]")
    if any(sentence.verdict == "unsupported" for sentence in answer.sentences):
        console.print("[red]The red sentences are not supported by the documents.[/red]")
    for citation in answer.citations:
        place = f"{shortened(citation.source)}:{citation.start}-{citation.end}"
        where = place_of(citation.mark)
        quote = " ".join(citation.quote.split())
        console.print(
            f"\n[{_VERDICTS[citation.verdict]}]\\[{citation.marker}][/] "
            f"{escape(place)}{escape(where)}  [dim]{citation.verdict}[/dim]\n    «{escape(quote)}»"
        )
    usage, seconds = answer.usage, answer.seconds
    timing = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    console.print(
        f"\n[dim]{timing or 'no time'}; prompt {usage.prompt_tokens} tokens "
        f"({usage.cached_tokens} reused), answer {usage.answer_tokens}"
        f"{f'; {usage.cost}' if usage.cost else ''}[/dim]"
    )


def print_attribution(found: Attribution) -> None:
    """Print what each passage did for an answer, as the generator read them."""
    if not found.parts:
        console.print("\n[dim]no passage made this answer[/dim]")
        return
    table = Table(box=None, pad_edge=False)
    for name, side in (("share", "right"), ("nats", "right"), ("passage", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for part in found.parts:
        place = f"{shortened(part.source)}:{part.start}-{part.end}"
        words = escape(_excerpt(part.text, 60))
        row = (f"{part.share:.0%}", f"{part.score:+.2f}", f"{escape(place)}  [dim]{words}[/dim]")
        table.add_row(*row)
    how = "each passage left out anew" if found.exact else "each passage forgotten in turn"
    console.print("\nwhat made this answer likely:")
    console.print(table)
    console.print(f"[dim]{how}, {found.seconds:.2f} s[/dim]")


def print_report(report: IngestReport) -> None:
    """Print what an ingest did, every failure with its reason."""
    for failure in report.failed:
        line = f"{escape(shortened(failure.source))}: {escape(failure.reason)}"
        errors.print(f"[red]failed[/red] {line}")
    for near in report.near_duplicates:
        done = "skipped" if near.source in report.skipped else "near duplicate"
        line = f"{escape(shortened(near.source))} is {near.similarity:.0%} of"
        console.print(f"[yellow]{done}[/yellow] {line} {escape(shortened(near.of))}")
    for failure in report.incomplete:
        line = f"{escape(shortened(failure.source))}: {escape(failure.reason)}"
        errors.print(f"[yellow]incomplete[/yellow] {line}")
    console.print(
        f"{len(report.added)} added, {len(report.updated)} updated, "
        f"{len(report.unchanged)} unchanged, {len(report.removed)} removed, "
        f"{len(report.failed)} failed; {report.chunks} chunks in {report.seconds:.1f} s"
    )
    for note in report.notes:
        console.print(escape(note))


def place_of(mark: Mark | None) -> str:
    """Return where a quote stands, as a person says it: a page, a heading."""
    if mark is None:
        return ""
    page = f", page {mark.page}" if mark.page is not None else ""
    return f"{page}, «{' '.join(mark.label.split())}»" if mark.label else page


def shortened(source: str) -> str:
    """Return a path relative to the current folder where that is shorter."""
    if not os.path.isabs(source):
        return source
    relative = os.path.relpath(source)
    return relative if len(relative) < len(source) else source


def _citation_json(citation: Citation) -> Mapping[str, Any]:
    return dataclasses.asdict(citation)


def _coloured(answer: Answer) -> str:
    pieces, at = [], 0
    for sentence in answer.sentences:
        pieces.append(escape(answer.text[at : sentence.start]))
        body = escape(answer.text[sentence.start : sentence.end])
        pieces.append(f"[red]{body}[/red]" if sentence.verdict == "unsupported" else body)
        at = sentence.end
    return "".join(pieces) + escape(answer.text[at:])


def _excerpt(text: str, size: int = 320) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= size else flat[: size - 1] + "…"
