"""ragstack: local-first RAG and agents, in which every citation is a verbatim, checked quote."""

from __future__ import annotations

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
