"""``ragstack check``: every part that is configured is built, and every fault gets its mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import typer
from rich.markup import escape

from ragstack import config as configuration
from ragstack import models, registry
from ragstack.cli.engine_check import engine_report, engine_text
from ragstack.cli.machine_check import Finding, fault_of, of_folders, of_machine, of_services
from ragstack.cli.options import BaseOption, JsonOption, ModelOption, opened, reported
from ragstack.cli.output import console, print_json
from ragstack.engine.gguf import Header, read_header
from ragstack.engine.memory import Window, check_memory
from ragstack.engine.projector_file import AUTO
from ragstack.errors import RagstackError
from ragstack.pipeline.stack import Stack

__all__ = ["check"]

_COLOURS = {
    "ok": "[green]ok[/green]   ",
    "note": "[yellow]note[/yellow] ",
    "fault": "[red]fault[/red]",
}


def check(base: BaseOption = None, model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Look at the machine, the base and every part that the configuration names; exit 1 on a fault.

    Every fault comes with what to do about it. Nothing is changed, fetched or sent.
    """
    with reported(as_json=as_json):
        folder = configuration.base_folder(base)
        file = configuration.find_file(folder)
        found = [
            Finding("base", str(folder.resolve())),
            Finding("config", str(file) if file else "defaults"),
            *of_machine(),
            *of_folders(folder),
        ]
        report: dict[str, Any] = {"build": None, "settings": None}
        try:
            with opened(base, model=model) as stack:
                stack.parts.fetch = False
                report["settings"] = configuration.masked(stack.config)
                found += _of_stack(stack, report)
        except RagstackError as error:
            found.append(fault_of("config", error))
        if as_json:
            print_json(_as_data(found, report))
        else:
            _print(found)
        if any(each.state == "fault" for each in found):
            raise typer.Exit(1)


def _as_data(found: list[Finding], report: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for each in found:
        if each.state == "ok":
            data[each.name] = f"{data[each.name]}; {each.text}" if each.name in data else each.text
    told: dict[str, dict[str, str]] = {"fault": {}, "note": {}}
    for each in found:
        if each.state != "ok":
            text = f"{each.text}\nhint: {each.mend}" if each.mend else each.text
            before = told[each.state].get(each.name)
            told[each.state][each.name] = f"{before}\n{text}" if before else text
    return {
        **data,
        "build": report["build"],
        "faults": told["fault"],
        "notes": told["note"],
        "settings": report["settings"],
    }


def _print(found: list[Finding]) -> None:
    for each in found:
        console.print(f"{_COLOURS[each.state]} {each.name:10} {escape(each.text)}")
        if each.mend and each.state != "ok":
            console.print(f"      {'':10} mend: {escape(each.mend)}")
    faults = sum(each.state == "fault" for each in found)
    notes = sum(each.state == "note" for each in found)
    console.print(f"faults: {faults}, notes: {notes}")


def _of_stack(stack: Stack, report: dict[str, Any]) -> Iterator[Finding]:
    there = (stack.folder / "catalog.sqlite").exists()
    if not there:
        mend = "`ragstack ingest PATH` makes it"
        yield Finding("catalog", f"no base is at {str(stack.folder)!r} yet", "note", mend)
    yield from of_services(stack.config)
    for name, describe in _PARTS.items():
        if there or name != "catalog":
            yield from _described(name, partial(describe, stack))
    if stack.config.generate.use in ("local", "isolated"):
        yield from _described("engine", lambda: engine_text(_engine(stack, report)))
        yield from _described("room", lambda: _room(stack))


def _described(name: str, describe: Callable[[], str | Iterator[Finding]]) -> Iterator[Finding]:
    try:
        found = describe()
        if isinstance(found, str):
            yield Finding(name, found)
        else:
            yield from found
    except RagstackError as error:
        yield fault_of(name, error)


def _indexes(stack: Stack) -> Iterator[Finding]:
    """Say what each index holds, and which of them has not caught up with the catalog."""
    told = []
    for slot, plugin in stack.config.index.items():
        registry.load("indexes", plugin.use)
        told.append(f"{slot}: {plugin.use} (empty)")
    there = (stack.folder / "catalog.sqlite").exists()
    collections = stack.parts.catalog.collections() if there else []
    told = [] if collections else told
    for collection in collections:
        for slot, index in stack.stats(collection=collection)["indexes"].items():
            place = f"{slot} of {collection}" if collection != "default" else slot
            told.append(f"{place}: {index['use']} ({index['chunks']} chunks)")
            if index["behind"]:
                yield Finding(
                    "indexes",
                    f"{place} is {index['behind']} changes behind the catalog",
                    "note",
                    "the next search or ingest brings it up; if it stays: ragstack verify --repair",
                )
    yield Finding("indexes", ", ".join(told))


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


def _window(stack: Stack) -> tuple[Header | None, Window]:
    """Return the model's header and its window; no header where there is no model."""
    options = stack.config.generate.options
    try:
        generator = stack.parts.generator
        header, context = read_header(models.path(generator.name)), generator.context_size
    except RagstackError:  # said already, as the generator's own fault
        header, context = None, 1
    return header, Window(
        context,
        cache_type=str(options.get("cache_type", "f16")),
        full_window=bool(options.get("full_window", True)),
    )


def _engine(stack: Stack, report: dict[str, Any]) -> dict[str, Any]:
    """Return what llama.cpp is here; the model's layers too, where there is a model."""
    options = stack.config.generate.options
    header, window = _window(stack)
    layers = options.get("gpu_layers", -1)
    flash = str(options.get("flash_attention", "auto"))
    found = engine_report(
        header,
        window,
        layers if isinstance(layers, int) else -1,
        flash,
        str(options.get("projector", AUTO)),
    )
    report["build"] = found
    return found


def _room(stack: Stack) -> Iterator[Finding]:
    """Say whether the model and its window fit into the memory that is free now."""
    header, window = _window(stack)
    if header is not None:
        check_memory(header, window)
        yield Finding("room", f"{header.path.name} and its window fit into memory")


_PARTS: Mapping[str, Callable[[Stack], str | Iterator[Finding]]] = {
    "catalog": lambda stack: f"{stack.config.catalog.use}, {stack.parts.catalog.collections()}",
    "embedder": lambda stack: stack.parts.raw_embedder.fingerprint,
    "chunker": lambda stack: (
        f"{stack.config.chunk.use} {dict(stack.config.chunk.options)}"
        if stack.parts.chunker
        else ""
    ),
    "indexes": _indexes,
    "reranker": lambda stack: stack.config.rerank.use if stack.parts.reranker else "none",
    "generator": _generator,
}
