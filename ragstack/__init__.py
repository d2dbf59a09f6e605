"""ragstack: local-first RAG and agents, in which every citation is a verbatim, checked quote.

A name of the front door is imported when it is first asked for, so that a program that needs the
values alone, or the command line to say its version, does not wait for the whole house (PEP 562).
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragstack.client import Client
    from ragstack.config import Config
    from ragstack.errors import RagstackError
    from ragstack.pipeline.chat import Chat
    from ragstack.pipeline.find import Search
    from ragstack.pipeline.stack import Stack
    from ragstack.pipeline.transforms.run import Found
    from ragstack.types import (
        Answer,
        Attributed,
        Attribution,
        Chunk,
        Citation,
        Delta,
        Document,
        Event,
        Failure,
        Gone,
        Hit,
        IngestReport,
        Mark,
        Message,
        Passage,
        Retrieved,
        Sampling,
        Sentence,
        Source,
        TraceStep,
        Turn,
        Usage,
    )

__all__ = [
    "Answer",
    "Attributed",
    "Attribution",
    "Chat",
    "Chunk",
    "Citation",
    "Client",
    "Config",
    "Delta",
    "Document",
    "Event",
    "Failure",
    "Found",
    "Gone",
    "Hit",
    "IngestReport",
    "Mark",
    "Message",
    "Passage",
    "RagstackError",
    "Retrieved",
    "Sampling",
    "Search",
    "Sentence",
    "Source",
    "Stack",
    "TraceStep",
    "Turn",
    "Usage",
]

_VALUES = "ragstack.types"
_ROOMS = {
    "Chat": "ragstack.pipeline.chat",
    "Client": "ragstack.client",
    "Config": "ragstack.config",
    "Found": "ragstack.pipeline.transforms.run",
    "RagstackError": "ragstack.errors",
    "Search": "ragstack.pipeline.find",
    "Stack": "ragstack.pipeline.stack",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(_ROOMS.get(name, _VALUES)), name)
    globals()[name] = value  # so this is asked once a name
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
