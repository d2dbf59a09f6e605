"""ragstack: local-first RAG and agents, in which every citation is a verbatim, checked quote."""

from __future__ import annotations

from ragstack.config import Config
from ragstack.errors import RagstackError
from ragstack.pipeline.chat import Chat
from ragstack.pipeline.stack import Stack
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
    "Gone",
    "Hit",
    "IngestReport",
    "Mark",
    "Message",
    "Passage",
    "RagstackError",
    "Retrieved",
    "Sampling",
    "Sentence",
    "Source",
    "Stack",
    "Turn",
    "Usage",
]
