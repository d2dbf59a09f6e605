"""Commands on the base itself: init, check, backup, restore, tokens."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import typer
from rich.markup import escape

from ragstack import config as configuration
from ragstack import models, registry
from ragstack.cli.engine_check import engine_report, engine_text
from ragstack.cli.options import BaseOption, JsonOption, ModelOption, opened, reported
from ragstack.cli.output import console, print_json
from ragstack.engine.gguf import read_header
from ragstack.engine.memory import Window
from ragstack.errors import InputError, RagstackError
from ragstack.pipeline.backup import backup as write_backup
from ragstack.pipeline.backup import restore as read_backup
from ragstack.pipeline.stack import Stack

__all__ = ["backup", "check", "init", "restore", "tokens"]

_TEMPLATE = """\
# ragstack's configuration. Every key is optional; these are the defaults that most people change.
# All keys: docs/reference/config.md. Environment variables win: RAGSTACK_GENERATE__MODEL=...

[generate]
use = "local"
model = "qwen2.5-coder-1.5b-instruct"   # `ragstack models list` shows the names

[answer]
style = "normal"                        # brief, normal, detailed
language = "auto"                       # answers in the language of the question

[retrieve]
k = 5
"""


_EMBED = """
[embed]
use = "onnx"
model = {name}
"""
# What docs/LOG.md measured as better in English, where a hub has it to give.
_BETTER = "bge-small-en-v1.5"


def init(
    base: BaseOption = None,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", help="Embedding model of the new base, by name or folder"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a base here, with a commented ragstack.toml in it. Nothing there is overwritten."""
    with reported(as_json=as_json):
        if embedder:  # a wrong name is told before anything is made
            registry.create("embedders", "onnx", {"model": embedder})
        folder = configuration.base_folder(base)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / configuration.FILE_NAME
        made = not file.exists()
        if made:
            chosen = embedder or ("" if as_json else _offered())
            text = _TEMPLATE + (_EMBED.format(name=json.dumps(chosen)) if chosen else "")
            file.write_text(text, "utf-8")
        elif embedder:
            raise InputError(
                f"{str(file)!r} is there already and stays as it is",
                hint=f'write it in there: [embed] model = "{embedder}"',
            )
        with Stack.open(folder) as stack:
            stack.parts.catalog.collections()
        if as_json:
            print_json({"base": str(folder.resolve()), "config": str(file), "made": made})
            return
        console.print(f"base    {escape(str(folder))}")
        console.print(f"config  {escape(str(file))}{'' if made else ' (kept as it was)'}")
        console.print("next    ragstack ingest PATH, then ragstack ask QUESTION")


def _offered() -> str:
    """Return the better embedder if the person wants it; only a person at a terminal is asked."""
    if not (sys.stdin.isatty() and console.is_terminal) or not models.hub_answers():
        return ""
    size = next(each.model.bytes for each in models.listing() if each.model.name == _BETTER)
    asked = f"Use {_BETTER} for search? Better in English, {size / 1e6:.0f} MB from the hub"
    return _BETTER if typer.confirm(asked, default=False) else ""


def check(base: BaseOption = None, model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Build every part that the configuration names and say what is used; exit 1 on a fault."""
    with reported(as_json=as_json), opened(base, model=model) as stack:
        stack.parts.fetch = False
        file = configuration.find_file(stack.folder)
        rows: dict[str, Any] = {
            "base": str(stack.folder.resolve()),
            "config": str(file) if file else "defaults",
            "python": platform.python_version(),
        }
        faults: dict[str, str] = {}
        for name, describe in _PARTS.items():
            try:
                rows[name] = describe(stack)
            except RagstackError as error:
                faults[name] = str(error)
        engine: dict[str, Any] | None = None
        if stack.config.generate.use in ("local", "isolated"):
            try:
                engine = _engine(stack)
                rows["engine"] = engine_text(engine)
            except RagstackError as error:
                faults["engine"] = str(error)
        if as_json:
            settings = configuration.masked(stack.config)
            print_json({**rows, "build": engine, "faults": faults, "settings": settings})
        else:
            for name, value in rows.items():
                console.print(f"[green]ok[/green]    {name:10} {escape(str(value))}")
            for name, fault in faults.items():
                console.print(f"[red]fault[/red] {name:10} {escape(fault)}")
        if faults:
            raise typer.Exit(1)


def backup(
    target: Annotated[Path, typer.Argument(help="The archive to write: a new .zip file.")],
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the base to one archive, while others may go on using it."""
    with reported(as_json=as_json), opened(base) as stack:
        sizes = write_backup(stack, target)
        if as_json:
            print_json({"archive": str(target), "members": sizes})
        else:
            console.print(
                f"{escape(str(target))}: {sum(sizes.values()):,} bytes before compression"
            )


def restore(
    archive: Annotated[Path, typer.Argument(help="An archive that `ragstack backup` wrote.")],
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a base from an archive, in a folder that is empty or not there."""
    with reported(as_json=as_json):
        folder = configuration.base_folder(base)
        read_backup(archive, folder)
        if as_json:
            print_json({"base": str(folder.resolve())})
        else:
            console.print(f"restored into {escape(str(folder))}")


def tokens(
    text: Annotated[str, typer.Argument(help="The text.")],
    base: BaseOption = None,
    model: ModelOption = None,
    embedder: Annotated[
        bool, typer.Option("--embedder", help="Count as the embedder does, not the generator.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how a text is cut into tokens, and how many there are."""
    with reported(as_json=as_json), opened(base, model=model) as stack:
        counter = stack.parts.counter if embedder else stack.parts.generator_counter
        spans = counter.offsets(text)
        pieces = [text[start:end] for start, end in spans]
        if as_json:
            print_json({"count": len(spans), "tokens": pieces, "offsets": [list(s) for s in spans]})
            return
        console.print(escape("·".join(pieces)))
        console.print(f"{len(spans)} tokens")


def _index_sizes(stack: Stack) -> str:
    names = stack.config.index
    sizes = {slot: len(index) for slot, index in stack.parts.indexes("default").items()}
    return ", ".join(f"{slot}: {names[slot].use} ({size} chunks)" for slot, size in sizes.items())


@runtime_checkable
class _Drafted(Protocol):
    """A generator that may have a draft model."""

    @property
    def draft_state(self) -> str: ...


def _generator(stack: Stack) -> str:
    generator = stack.parts.generator
    can = generator.capabilities
    grammars = ", ".join(sorted(can.grammars)) or "none"
    text = f"{generator.name}, {generator.context_size} tokens, grammars: {grammars}"
    state = generator.draft_state if isinstance(generator, _Drafted) else ""
    return f"{text}; draft model {state}" if state else text


def _engine(stack: Stack) -> dict[str, Any]:
    """Return what llama.cpp is here; the model's layers too, where there is a model."""
    options = stack.config.generate.options
    try:
        generator = stack.parts.generator
        header, context = read_header(models.path(generator.name)), generator.context_size
    except RagstackError:  # said already, as the generator's own fault
        header, context = None, 1
    layers = options.get("gpu_layers", -1)
    window = Window(
        context,
        cache_type=str(options.get("cache_type", "f16")),
        full_window=bool(options.get("full_window", True)),
    )
    flash = str(options.get("flash_attention", "auto"))
    return engine_report(header, window, layers if isinstance(layers, int) else -1, flash)


_PARTS = {
    "catalog": lambda stack: f"{stack.config.catalog.use}, {stack.parts.catalog.collections()}",
    "embedder": lambda stack: stack.parts.raw_embedder.fingerprint,
    "chunker": lambda stack: (
        f"{stack.config.chunk.use} {dict(stack.config.chunk.options)}"
        if stack.parts.chunker
        else ""
    ),
    "indexes": _index_sizes,
    "reranker": lambda stack: stack.config.rerank.use if stack.parts.reranker else "none",
    "generator": _generator,
}
