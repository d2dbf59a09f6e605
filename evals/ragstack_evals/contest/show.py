"""Results in, tables out: medians, spreads, and each contestant's ratio to ragstack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from ragstack_evals.contest.parts import GUESSING, OURS
from ragstack_evals.contest.plan import PARTS
from ragstack_evals.contest.results import Results
from ragstack_evals.contest.targets import ELSEWHERE, Target
from ragstack_evals.report import table

__all__ = ["show", "show_targets"]

_NOTHING = "–"

# Part: the measures that are printed, each with its heading, and how a number is written.
_COLUMNS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "one": (("prefill", "read/s", "{:.0f}"), ("decode", "written/s", "{:.1f}")),
    "late": (("first_s", "first token, s", "{:.2f}"),),
    "prefix": (
        ("cold_s", "cold, s", "{:.3f}"),
        ("warm_s", "shared, s", "{:.3f}"),
        ("share", "shared / cold", "{:.3f}"),
    ),
    "chat": (
        ("took_s", "all turns, s", "{:.1f}"),
        ("first_s", "first token, s", "{:.2f}"),
        ("over", "read beyond new", "{:.0f}"),
        ("characters", "written, chars", "{:.0f}"),
    ),
    "agent": (
        ("took_s", "all steps, s", "{:.1f}"),
        ("first_s", "first token, s", "{:.2f}"),
        ("parsed", "steps that parse", "{:.0%}"),
        ("characters", "written, chars", "{:.0f}"),
    ),
    "quotes": (("decode", "written/s", "{:.1f}"), ("written", "tokens", "{:.0f}")),
}


def show(results: Results, console: Console) -> None:
    """Print a table for each part that was measured."""
    for part, title in PARTS.items():
        if not results.cells(part):
            continue
        if part in _COLUMNS:
            columns, rows = _plain(results, part)
        else:
            columns, rows = _streams(results, part)
        console.print(table(f"{results.model}: {title}", columns, rows))
    rows = [
        [who, f"{(results.median('memory', '', who, 'peak') or 0) / 1e9:.2f}"]
        for who in results.contestants("memory")
    ]
    if rows:
        console.print(table(f"{results.model}: most memory, weights included", ("", "GB"), rows))
    for note in results.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)


def _plain(results: Results, part: str) -> tuple[list[str], list[list[str]]]:
    """Return a row for each contestant; ``ragstack / it`` compares what the part is about."""
    wanted = _COLUMNS[part]
    base = next((w for w in (OURS, GUESSING) if w in results.contestants(part)), "")
    columns = ["", *(heading for _, heading, _ in wanted), f"{base} / it"]
    rows = []
    for who in results.contestants(part):
        cells = [_cell(results, (part, "", who, measure), form) for measure, _, form in wanted]
        ratios = [
            _ratio(results.ratio(part, "", (base, who), measure))
            for measure, _, _ in wanted
            if part == "one" or measure == wanted[0][0]
        ]
        rows.append([who, *cells, " ".join(ratios) if who != base else ""])
    return columns, rows


def _streams(results: Results, part: str) -> tuple[list[str], list[list[str]]]:
    """Return a row for each number of streams and contestant."""
    columns = ["streams", "", "tokens/s", "ragstack / it", "first p50", "p95, s"]
    columns += ["token p50", "p95, ms", "answer mean, s"]
    rows = []
    for cell in results.cells(part):
        for who in results.contestants(part):
            ratio = results.ratio(part, cell, (OURS, who), "rate")
            key = (part, cell, who)
            rows.append(
                [
                    cell,
                    who,
                    _cell(results, (*key, "rate"), "{:.1f}"),
                    _ratio(ratio) if who != OURS else "",
                    _cell(results, (*key, "first_p50"), "{:.2f}", spread=False),
                    _cell(results, (*key, "first_p95"), "{:.2f}", spread=False),
                    _cell(results, (*key, "token_p50"), "{:.0f}", factor=1e3, spread=False),
                    _cell(results, (*key, "token_p95"), "{:.0f}", factor=1e3, spread=False),
                    _cell(results, (*key, "answer_mean"), "{:.1f}", spread=False),
                ]
            )
    return columns, rows


def show_targets(found: Sequence[Target], console: Console, *, model: str) -> None:
    """Print what was wanted and found, and where the rest is measured."""
    rows = [
        (
            each.name,
            f"{'≥' if each.sense == 'least' else '≤'} {each.bound:g} {each.unit}".rstrip(),
            _NOTHING if each.found is None else f"{each.found:.2f}",
            {True: "met", False: "NOT MET", None: "not measured"}[each.met],
        )
        for each in found
    ]
    console.print(table(f"{model}: targets", ("", "wanted", "found", ""), rows))
    for line in ELSEWHERE:
        console.print(f"elsewhere: {line}", soft_wrap=True, markup=False)


def _cell(
    results: Results,
    key: tuple[str, str, str, str],
    form: str,
    *,
    factor: float = 1.0,
    spread: bool = True,
) -> str:
    middle = results.median(*key)
    if middle is None:
        return _NOTHING
    width = results.spread(*key) if spread else None
    return form.format(middle * factor) + (f" ±{width:.0%}" if width is not None else "")


def _ratio(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}"
