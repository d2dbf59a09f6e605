"""Options that several commands share, and how the base and its errors reach a command."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

import ragstack
from ragstack.cli.output import errors, print_json
from ragstack.errors import InputError, RagstackError

__all__ = [
    "As",
    "BaseOption",
    "Collection",
    "JsonOption",
    "ModelOption",
    "TraceOption",
    "TransformOption",
    "Where",
    "conditions",
    "least",
    "opened",
    "reported",
    "scalar",
    "transforms_of",
]

BaseOption = Annotated[
    Path | None,
    typer.Option("--base", help="The base's folder; else RAGSTACK_BASE, else .ragstack here."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Collection = Annotated[
    str, typer.Option("--collection", "-c", help="Which collection of the base.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="The generator's model for this call."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        help="Only documents with this metadata: language=fr, date>=2020, type!=pdf. Repeatable.",
    ),
]
As = Annotated[
    list[str] | None,
    typer.Option("--as", help="Ask as this user or group. Repeatable."),
]
TransformOption = Annotated[
    list[str] | None,
    typer.Option(
        "--transform",
        "-t",
        help="Do this with the question: decompose, multi_query, as_of, … or none. Repeatable.",
    ),
]
TraceOption = Annotated[
    bool, typer.Option("--trace", help="Show each step between question and result.")
]

_OPERATORS = (("!=", "ne"), (">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt"), ("=", "eq"))


def conditions(where: list[str] | None) -> dict[str, object] | None:
    """Return the filter that ``--where`` options make together.

    Raises:
        InputError: A condition without an operator.
    """
    if not where:
        return None
    return {"$and": [_condition(text) for text in where]}


def least(scores: list[str] | None) -> float | dict[str, float] | None:
    """Return what ``--min-score`` options ask for together.

    Raises:
        InputError: What is no number, or numbers with and without a stage.
    """
    pairs = [text.rpartition("=") for text in scores or ()]
    try:
        if len(pairs) == 1 and not pairs[0][1]:
            return float(pairs[0][2])
        if all(equals for _, equals, _ in pairs):
            return {stage.strip(): float(value) for stage, _, value in pairs} or None
    except ValueError:
        pass
    raise InputError(f"a least score is written 0.4 or vector=0.3, got {', '.join(scores or ())}")


def transforms_of(names: list[str] | None) -> tuple[str, ...] | None:
    """Return the transforms that ``--transform`` options name; ``none`` alone is none of them."""
    return None if names is None else () if names == ["none"] else tuple(names)


@contextlib.contextmanager
def opened(
    base: Path | None, *, model: str | None = None, isolated: bool = False
) -> Iterator[ragstack.Stack]:
    """Open the base for a command, and close it.

    Args:
        isolated: Run a local model in a process of its own.
    """
    overrides: dict[str, Any] = {"generate": {"model": model}} if model else {}
    # By the front door, which imports the pipeline for those commands alone that open a base.
    with ragstack.Stack.open(base, overrides=overrides) as stack:
        generate = stack.config.generate
        if isolated and generate.use == "local":
            plugin = replace(generate, use="isolated")
            stack.parts.config = replace(stack.parts.config, generate=plugin)
        yield stack


@contextlib.contextmanager
def reported(*, as_json: bool = False) -> Iterator[None]:
    """Turn ragstack's errors into a message with a hint, and the exit code 1, or 2 for usage."""
    try:
        yield
    except RagstackError as error:
        if as_json:
            print_json({"error": error.message, "hint": error.hint, "retryable": error.retryable})
        else:
            errors.print(f"[red]error:[/red] {_plain(error.message)}")
            if error.hint:
                errors.print(f"hint: {_plain(error.hint)}")
        logging.getLogger(__name__).debug("the command failed", exc_info=error)
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from error


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _condition(text: str) -> dict[str, object]:
    found = [(text.find(sign), sign, op) for sign, op in _OPERATORS if sign in text]
    if not found:
        raise InputError(f"a condition is written field=value or field>=value, got {text!r}")
    at, sign, op = min(found, key=lambda item: (item[0], -len(item[1])))
    return {text[:at].strip(): {op: scalar(text[at + len(sign) :].strip())}}


def scalar(text: str) -> object:
    """Return what a value on the command line means: a number, a boolean, else text."""
    for convert in (int, float):
        with contextlib.suppress(ValueError):
            return convert(text)
    return {"true": True, "false": False}.get(text.lower(), text)
