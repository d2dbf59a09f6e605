"""Values in, lines for a person or JSON for a program out. Nothing else prints."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ragstack.types import (
    Answer,
    Attribution,
    IngestReport,
    Mark,
    Passage,
    TraceStep,
)
from ragstack.types.wire import answer_json, passage_json, report_json, trace_json

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
    "print_trace",
    "report_json",
    "shortened",
    "trace_json",
]

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_NEAREST = 3  # passages shown where there is no answer
_VERDICTS = {"verbatim": "green", "supported": "yellow", "unsupported": "red"}


def print_json(value: object) -> None:
    """Print a value as JSON: lone surrogates and control characters escaped, one object a call."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")


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
    if answer.abstained and answer.passages:
        _print_nearest(answer.passages)
    usage, seconds = answer.usage, answer.seconds
    timing = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    console.print(
        f"\n[dim]{timing or 'no time'}; prompt {usage.prompt_tokens} tokens "
        f"({usage.cached_tokens} reused), answer {usage.answer_tokens}"
        f"{f'; {usage.cost}' if usage.cost else ''}[/dim]"
    )


def _print_nearest(passages: Sequence[Passage]) -> None:
    """Print where a reader may look who gets no answer."""
    console.print("\n[bold]nearest passages[/bold]")
    for passage in passages[:_NEAREST]:
        chunk = passage.chunk
        place = f"{shortened(passage.source)}:{chunk.start}-{chunk.end}"
        context = f"  [dim]{escape(chunk.context)}[/dim]" if chunk.context else ""
        console.print(f"{escape(place)}{context}\n    {escape(_excerpt(chunk.text))}")


def print_trace(trace: Sequence[TraceStep]) -> None:
    """Print each step with its time, its tokens, and what it made."""
    console.print("\n[bold]trace[/bold]")
    for step in trace:
        tokens = step.usage.prompt_tokens + step.usage.answer_tokens
        took = f"{step.seconds * 1_000:.0f} ms{f', {tokens} tokens' if tokens else ''}"
        console.print(f"[bold]{escape(step.name)}[/bold]  [dim]{took}[/dim]")
        for line in step.produced:
            console.print(f"   {escape(line)}")


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
