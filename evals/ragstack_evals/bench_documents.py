"""``ragstack eval documents``: a folder of documents read, each beside what it should say."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.console import Console

from ragstack.documents.limits import Limits
from ragstack.documents.worker import LoaderWorker
from ragstack.errors import DocumentError, InputError
from ragstack.types import Source
from ragstack_evals.datasets import data_root
from ragstack_evals.document_scores import Likeness, likeness
from ragstack_evals.report import circumstances, results_console, table, write_json

__all__ = ["Read", "documents"]

_COLUMNS = (
    "kind", "files", "read", "characters", "judged", "word F1", "pair F1", "tables", "cell F1",
    "seconds",
)  # fmt: skip
_TRUTH = "groundtruth"
_NOT_DOCUMENTS = frozenset(["files.json", "INDEX.md", "README.md", "LICENSE"])


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one file.

    Attributes:
        failure: Why it could not be read; empty when it was.
        unread: What of it could not be read.
        tables: Tables marked in the document.
        like: Beside its ground truth, where there is one.
    """

    name: str
    kind: str
    seconds: float
    characters: int = 0
    tables: int = 0
    failure: str = ""
    unread: str = ""
    like: Likeness | None = None


def documents(
    data: Annotated[
        Path | None, typer.Option(help="Folder of documents; else documents/ of RAGSTACK_DATA")
    ] = None,
    only: Annotated[str, typer.Option(help="Read the files whose path has this in it")] = "",
    seconds: Annotated[float, typer.Option(min=1, help="Limit of one document")] = 120.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Read documents and compare them with their ground truth, in one table."""
    folder = data or data_root() / "documents"
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is no folder", hint="name one with --data")
    console = results_console()
    limits = Limits(max_seconds=seconds)
    with LoaderWorker(limits=limits) as worker:
        found = [
            _read(path, folder, worker)
            for path in _files(folder)
            if only in path.relative_to(folder).as_posix()
        ]
    _print(found, console)
    target = json_file or Path("bench-results") / "documents.json"
    results = {"folder": folder.name, "files": [asdict(read) for read in found]}
    write_json(target, {**circumstances(seed=0), "run": {"seconds": seconds}, **results})
    console.print(f"results: {target}", soft_wrap=True)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        name = path.name.removesuffix(".gz")
        if path.is_file() and _TRUTH not in path.parts and name not in _NOT_DOCUMENTS:
            yield path


def _read(path: Path, folder: Path, worker: LoaderWorker) -> Read:
    data = _bytes(path)
    name = path.relative_to(folder).as_posix().removesuffix(".gz")
    kind = name.rpartition(".")[2] if "." in name else "other"
    begun = time.perf_counter()
    try:
        document = worker.load(Source(name, data))
    except DocumentError as error:
        spent = time.perf_counter() - begun
        return Read(name, kind, spent, failure=f"{type(error).__name__}: {error.message}")
    spent = time.perf_counter() - begun
    truth = _truth(path)
    return Read(
        name,
        kind,
        spent,
        characters=len(document.text),
        tables=sum(mark.kind == "table" for mark in document.marks),
        unread=str(document.meta.get("unread") or ""),
        like=likeness(document.text, truth) if truth is not None else None,
    )


def _truth(path: Path) -> str | None:
    # docling keeps FORMAT/groundtruth/NAME.md beside FORMAT/sources/NAME.
    if path.parent.name != "sources":
        return None
    name = path.name.removesuffix(".gz")
    for stem in (name, name.removesuffix(".pdf")):
        for end in (".md", ".md.gz"):
            file = path.parent.parent / _TRUTH / (stem + end)
            if file.is_file():
                return _bytes(file).decode("utf-8")
    return None


def _bytes(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _print(found: Sequence[Read], console: Console) -> None:
    kinds = sorted({read.kind for read in found})
    rows = [_row(kind, [read for read in found if read.kind == kind]) for kind in kinds]
    console.print(table("documents", _COLUMNS, [*rows, _row("all", found)]))
    for read in found:
        if read.failure or read.unread:
            said = f"{read.name}: {read.failure or read.unread}"
            console.print(said, soft_wrap=True, markup=False)


def _row(kind: str, found: Sequence[Read]) -> list[str]:
    likes = [read.like for read in found if read.like is not None]
    cells = [like.cells for like in likes if like.cells is not None]
    wanted = sum(like.tables[1] for like in likes)
    hits = sum(min(like.tables) for like in likes)
    return [
        kind,
        str(len(found)),
        str(sum(not read.failure for read in found)),
        f"{sum(read.characters for read in found):,}",
        str(len(likes)),
        _mean([like.tokens for like in likes]),
        _mean([like.pairs for like in likes]),
        f"{hits}/{wanted}" if likes else f"({sum(read.tables for read in found)})",
        _mean(cells),
        f"{sum(read.seconds for read in found):.1f}",
    ]


def _mean(values: Sequence[Any]) -> str:
    return f"{fmean(values):.3f}" if values else ""
