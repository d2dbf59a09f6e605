"""Values in, what the interface shows of them out."""

from __future__ import annotations

from typing import Any

from ragstack.cli.output import answer_json, passage_json, trace_json
from ragstack.types import Answer, Meta, Passage
from ragstack.types.wire import citation_json

__all__ = ["answer_shown", "citations_shown", "passage_shown", "title_of"]


def title_of(meta: Meta, source: str) -> str:
    """Return what a document is called: its title, else the last part of its address."""
    title = meta.get("title")
    if isinstance(title, str) and title.strip():
        return title
    return source.removeprefix("upload:").rstrip("/").rsplit("/", 1)[-1] or source


def passage_shown(passage: Passage) -> dict[str, Any]:
    """Return a passage: as the command line shows it, and what a page needs beside it."""
    chunk = passage.chunk
    mark = {key: chunk.meta[key] for key in ("page", "heading") if chunk.meta.get(key) is not None}
    return {
        **passage_json(passage),
        "title": title_of(chunk.meta, passage.source),
        "mark": mark or None,
    }


def answer_shown(answer: Answer) -> dict[str, Any]:
    """Return an answer, its passages as ``passage_shown`` does, and its trace."""
    return {
        **answer_json(answer),
        "passages": [passage_shown(passage) for passage in answer.passages],
        "trace": trace_json(answer.trace),
    }


def citations_shown(answer: Answer) -> list[dict[str, Any]]:
    """Return an answer's citations."""
    return [citation_json(citation) for citation in answer.citations]
