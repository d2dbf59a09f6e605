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
    attribution_json,
    console,
    print_answer,
    print_attribution,
    print_json,
    print_trace,
)
from ragstack.errors import Cancelled
from ragstack.pipeline.chat import last_answer
from ragstack.types import Answer, Attribution, Delta, Event, Retrieved

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
    attribution: Annotated[
        bool, typer.Option("--attribution", help="Show what each passage did for the answer.")
    ] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="With --attribution: read anew without each passage; slower."),
    ] = False,
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
        asked = [question]
        events = _noted(events, asked)
        answer = last_answer(events) if as_json else _shown(events)
        if not as_json:
            print_answer(answer)
        made: Attribution | None = None
        if attribution:
            made = stack.attribute(
                asked[-1], answer, style=style, collection=collection, exact=exact
            )
        if as_json:
            shown = answer_json(answer)
            if not trace:
                del shown["trace"]
            print_json(shown | ({} if made is None else {"attribution": attribution_json(made)}))
            return
        if made is not None:
            print_attribution(made)
        if trace:
            print_trace(answer.trace)


def _noted(events: Iterator[Event], asked: list[str]) -> Iterator[Event]:
    """Yield the events; what was asked goes to the list, as a conversation rewrote it."""
    for event in events:
        if isinstance(event, Retrieved):
            asked.append(event.question)
        yield event


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
