"""The command ``ask``: a question in, a checked answer out, streamed where a person looks on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from ragstack.cli.documents import require_base
from ragstack.cli.models import progress_bar
from ragstack.cli.options import (
    As,
    BaseOption,
    Collection,
    JsonOption,
    ModelOption,
    TraceOption,
    TransformOption,
    Where,
    conditions,
    opened,
    reported,
    transforms_of,
)
from ragstack.cli.output import (
    answer_json,
    console,
    print_answer,
    print_json,
    print_trace,
    trace_json,
)
from ragstack.errors import Cancelled
from ragstack.types import Answer, Delta, Event

__all__ = ["ask"]


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    style: Annotated[
        str | None, typer.Option("--style", "-s", help="brief, normal or detailed.")
    ] = None,
    chat: Annotated[
        str | None, typer.Option("--chat", help="Go on with the conversation of this id.")
    ] = None,
    quotes: Annotated[
        bool | None,
        typer.Option("--quotes/--no-quotes", help="Copy verbatim quotes first, answer from these."),
    ] = None,
    base: BaseOption = None,
    collection: Collection = "default",
    where: Where = None,
    asker: As = None,
    model: ModelOption = None,
    transform: TransformOption = None,
    trace: TraceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Answer from the documents; every citation is a verbatim quote with its place."""
    with reported(as_json=as_json), opened(base, model=model) as stack:
        require_base(stack.folder)
        with progress_bar() as report:
            stack.parts.fetching = report
            # Found, or fetched, before anything else is shown.
            _ = stack.parts.generator
        who = tuple(asker or ())
        found = conditions(where)
        names = transforms_of(transform)
        if chat:
            talk = stack.chat(chat, collection=collection, asker=who, transforms=names)
            events = talk.stream(question, style=style, where=found, quotes=quotes)
        else:
            events = stack.stream(
                question,
                style=style,
                where=found,
                asker=who,
                collection=collection,
                quotes=quotes,
                transforms=names,
            )
        if as_json:
            answer = [event for event in events if isinstance(event, Answer)][-1]
            more = {"trace": trace_json(answer.trace)} if trace else {}
            print_json(answer_json(answer) | more)
            return
        answer = _shown(events)
        print_answer(answer)
        if trace:
            print_trace(answer.trace)


def _shown(events: Iterator[Event]) -> Answer:
    """Show the text as it comes; the checked one, with markers and colours, takes its place."""
    text = Text()
    with Live(text, console=console, transient=True, auto_refresh=False) as live:
        for event in events:
            if isinstance(event, Answer):
                return event
            if isinstance(event, Delta) and console.is_terminal:
                text.append(event.text)
                live.refresh()
    raise Cancelled("the answer was cut off before its end")
