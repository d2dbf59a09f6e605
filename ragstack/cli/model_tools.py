"""``ragstack models`` on what is in a file: show, quantize, compare, tune."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ragstack import models
from ragstack.cli.models import Name, app
from ragstack.cli.options import JsonOption, reported
from ragstack.cli.output import console, errors, print_json
from ragstack.engine import gguf, machine
from ragstack.engine.memory import CACHE_TYPES, Window
from ragstack.engine.projector_file import projector_beside, projector_name
from ragstack.engine.tools.formats import format_of, named_format
from ragstack.engine.tools.quantize import quantize as write_quantized
from ragstack.engine.tools.quantize import requantising_note
from ragstack.engine.tools.summary import Summary, summary_of
from ragstack.engine.tools.tune import Trial
from ragstack.engine.tools.tune import tune as tuned
from ragstack.engine.tools.workbench import Measurement, Score, measure
from ragstack.engine.tools.workbench import compare as compared
from ragstack.errors import InputError
from ragstack.models.places import cache_folder

__all__ = ["app", "compare", "quantize", "show", "tune"]

_CONTEXT = 8192
_BUSY = 0.3
_WORKPLACE = ".quantize-"
_STALE_S = 24 * 3600.0
Steps = Callable[[str, int, int], None]


@app.command()
def show(
    name: Name,
    context: Annotated[
        int | None, typer.Option("--context", help="Tokens of each stream's window.")
    ] = None,
    streams: Annotated[int, typer.Option("--streams", help="Sequences at once.")] = 1,
    cache: Annotated[
        str, typer.Option("--cache", help=f"Kept as: {', '.join(CACHE_TYPES)}.")
    ] = "f16",
    as_json: JsonOption = False,
) -> None:
    """Show what a model is, what it cannot do, and the memory it takes; nothing is loaded."""
    with reported(as_json=as_json):
        header = gguf.read_header(_file(name))
        trained = header.context_length
        size = context or min(_CONTEXT, trained or _CONTEXT)
        if context is not None and context < 1:
            raise InputError(f"context is {context}, expected at least 1")
        summary = summary_of(header, Window(size, streams, cache))
        if as_json:
            print_json(_summary_json(name, summary))
        else:
            _print_summary(name, summary)


@app.command()
def quantize(
    name: Name,
    to: Annotated[str, typer.Option("--to", help="The format: Q4_0, Q4_K_M, Q8_0, ...")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write this file, and add no model.")
    ] = None,
    new_name: Annotated[
        str | None, typer.Option("--name", help="The new model's name; else NAME-FORMAT.")
    ] = None,
    measured: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure before and after.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Make a smaller or faster model of a model; say what it costs in quality, gains in speed."""
    with reported(as_json=as_json), _bar(quiet=as_json) as step:
        source = _file(name)
        to = named_format(to)
        target = f"{Path(name).stem.lower()}-{to.lower()}" if new_name is None else new_name
        if out is None and any(entry.model.name == target for entry in models.listing()):
            raise InputError(
                f"the name {target!r} is taken", hint=f"--name, or ragstack models rm {target}"
            )
        file, added = _made(source, out, to, target, step)
        found: dict[str, Measurement] = {}
        for which, path in (("before", source), ("after", file)) if measured else ():
            found[which] = measure(path, progress=functools.partial(step, f"measuring {which}"))
        note = requantising_note(gguf.read_header(source))
    answer = {
        "source": str(source),
        "name": added,
        "path": str(file),
        "format": to,
        "bytes": file.stat().st_size,
        "note": note,
        **{which: _measurement_json(one) for which, one in found.items()},
    }
    if as_json:
        print_json(answer)
        return
    console.print(escape(f"{added or file}: {to}, {file.stat().st_size / 1e6:,.0f} MB"))
    if found:
        console.print(
            _measured_table(
                {f"{format_of(gguf.read_header(source))}": found["before"], to: found["after"]}
            )
        )
    if note:
        console.print(f"note: {escape(note)}")


@app.command()
def compare(name: Name, other: Name, as_json: JsonOption = False) -> None:
    """Say how well two models foretell a text, and how often they agree; the first is the truth."""
    with reported(as_json=as_json):
        with _bar(quiet=as_json) as step:
            found = compared(
                _file(name), _file(other), progress=functools.partial(step, "comparing")
            )
        if as_json:
            print_json({"models": [name, other], **dataclasses.asdict(found)})
            return
        table = _table("model", "perplexity", "bits a character")
        for which, score in ((name, found.first), (other, found.second)):
            table.add_row(escape(which), *_score_cells(score))
        console.print(table)
        if found.divergence is None or found.top_1 is None:
            console.print(
                "their vocabularies differ: only bits a character can be compared, "
                "and no agreement can be said"
            )
            return
        console.print(f"KL divergence of {escape(other)} from {escape(name)}: ", end="")
        console.print(f"{found.divergence:.4f} nats a token; same first token: {found.top_1:.1%}")


@app.command()
def tune(
    name: Name,
    quality: Annotated[
        float, typer.Option("--quality", help="By how much perplexity may grow: 0.02 is 2 %.")
    ] = 0.02,
    as_json: JsonOption = False,
) -> None:
    """Measure formats and thread counts here, and keep the fastest within a quality budget."""
    with reported(as_json=as_json):
        path = _file(name)
        if (busy := machine.load() or 0.0) > _BUSY:
            errors.print(
                f"note: the machine is busy ({busy:.0%} of its threads in the last minute); "
                "what is measured now may be wrong"
            )
        with _bar(quiet=as_json) as step:
            found = tuned(path, quality=quality, progress=step)
        if as_json:
            print_json(
                {
                    "name": name,
                    "path": str(found.path),
                    "threads": found.threads,
                    "format": found.best.format,
                    "quality": found.quality,
                    "gain": found.gain,
                    "trials": [_trial_json(trial) for trial in found.trials],
                }
            )
            return
        table = _table("format", "threads", "read tok/s", "write tok/s", "perplexity", "request s")
        for trial in found.trials:
            mark = " *" if trial == found.best else ""
            table.add_row(
                trial.format + mark,
                str(trial.threads),
                f"{trial.prefill:.0f}",
                f"{trial.decode:.1f}",
                f"{trial.perplexity:.2f}",
                f"{trial.seconds:.2f}",
            )
        console.print(table)
        console.print(
            f"chosen: {found.best.format} with {found.threads} threads, "
            f"{found.gain:.2f} times as fast as the model as given with a thread a core"
        )
        console.print(f"kept in {escape(str(found.path.parent))}")


def _file(name: str) -> Path:
    """Return a model's GGUF file.

    Raises:
        InputError: The model is of another kind of file.
    """
    path = models.path(name)
    if path.is_dir() or path.suffix != ".gguf":
        raise InputError(
            f"{name!r} is no GGUF model", hint="`ragstack models list` shows what each is for"
        )
    return path


def _made(
    source: Path, out: Path | None, to: str, target: str, step: Steps
) -> tuple[Path, str | None]:
    """Write the new file; return where it lies, and the name it was added by, if it was."""
    progress = functools.partial(step, f"writing {to}")
    if out is not None:
        return write_quantized(source, out, to, progress=progress), None
    folder = cache_folder() / "models"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_WORKPLACE}*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > _STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    workplace = Path(tempfile.mkdtemp(prefix=_WORKPLACE, dir=folder))
    try:
        file = workplace / f"{source.stem}-{to.lower()}.gguf"
        write_quantized(source, file, to, progress=progress)
        added = models.add(file, name=target)
        projector = projector_beside(source)
        if projector is not None:
            models.keep_beside(added, projector, filename=projector_name(projector))
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return models.path(added), added


@contextlib.contextmanager
def _bar(*, quiet: bool, on: Console = errors) -> Iterator[Steps]:
    """Yield what to call with steps; a bar on a terminal, a line a step where there is none."""
    if quiet or not on.is_terminal:
        seen: set[str] = set()

        def line(what: str, _done: int, _total: int) -> None:
            if not quiet and what not in seen:
                seen.add(what)
                on.print(escape(what))

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=on, transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=escape(what), completed=done, total=total)

        yield report


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for title in numbers:
        table.add_column(title, justify="right")
    return table


def _measured_table(found: dict[str, Measurement]) -> Table:
    table = _table("format", "MB", "read tok/s", "write tok/s", "perplexity", "bits a character")
    for name, one in found.items():
        cells = _score_cells(one.score) if one.score else ("", "")
        speeds = (f"{one.prefill:.0f}", f"{one.decode:.1f}")
        table.add_row(name, f"{one.bytes / 1e6:,.0f}", *speeds, *cells)
    return table


def _score_cells(score: Score) -> tuple[str, str]:
    return f"{score.perplexity:.3f}", f"{score.bits_per_character:.4f}"


def _measurement_json(one: Measurement) -> dict[str, Any]:
    return dataclasses.asdict(one)


def _trial_json(trial: Trial) -> dict[str, Any]:
    return {**dataclasses.asdict(trial), "seconds": trial.seconds}


def _licence(name: str, summary: Summary) -> str:
    listed = [entry.model.licence for entry in models.listing() if entry.model.name == name]
    return summary.licence or (listed[0] if listed else "")


def _summary_json(name: str, summary: Summary) -> dict[str, Any]:
    found = dataclasses.asdict(summary)
    found["licence"] = _licence(name, summary)
    found["title"] = found.pop("name")
    found["need"]["total"] = summary.need.total
    return {"name": name, **found, "fits": summary.fits}


def _print_summary(name: str, summary: Summary) -> None:
    takes, window = summary.need, summary.window
    heads = f"{summary.heads} heads"
    if summary.kv_heads != summary.heads:
        heads += f", {summary.kv_heads} of them with keys and values"
    rows = {
        "model": f"{name}{f' ({summary.name})' if summary.name else ''}",
        "kind": f"{summary.architecture}, {summary.kind}",
        "size": f"{summary.parameters / 1e6:,.0f} M parameters, {summary.format}, "
        f"{summary.bytes / 1e6:,.0f} MB",
        "network": f"{summary.layers} layers, {heads}, width {summary.width}",
        "vocabulary": f"{summary.vocabulary:,} tokens",
        "trained": f"on windows of {summary.trained_context:,} tokens"
        if summary.trained_context
        else "on windows of a size that is not said",
        "template": "for conversations" if summary.chat_template else "none",
        "licence": _licence(name, summary) or "not said",
        "tensors": ", ".join(
            f"{share.tensors} {share.type} ({share.bytes / 1e6:,.1f} MB)"
            for share in summary.tensors
        ),
    }
    if summary.projector:
        rows["images"] = (
            f"read with {summary.projector}, which lies beside it and takes "
            f"{summary.projector_bytes / 1e6:,.0f} MB more from the first image on"
        )
    if summary.parts > 1:
        rows["parts"] = f"this is one file of {summary.parts}; the numbers are of this one alone"
    streams = f"{window.streams} streams of " if window.streams > 1 else ""
    state = f" + states {takes.state / 1e6:,.0f}" if takes.state else ""
    rows["memory"] = (
        f"{takes.total / 1e6:,.0f} MB: weights {takes.weights / 1e6:,.0f} "
        f"+ keys and values {takes.cache / 1e6:,.0f}{state} + work about {takes.work / 1e6:,.0f}, "
        f"for {streams}{window.context:,} tokens kept as {window.cache_type}"
    )
    if summary.available is not None:
        rows["here"] = (
            f"{summary.available / 1e6:,.0f} MB are free: it "
            f"{'fits' if summary.fits else 'does not fit'}"
        )
    for key, value in rows.items():
        console.print(f"[bold]{key:10}[/bold] {escape(value)}")
    for ability, why in summary.cannot.items():
        console.print(f"[yellow]{'without':10}[/yellow] {escape(ability)}: {escape(why)}")
    if window.context > summary.trained_context > 0:
        console.print(
            f"[yellow]{'note':10}[/yellow] it was trained on {summary.trained_context:,} tokens; "
            "beyond that its text gets worse"
        )
