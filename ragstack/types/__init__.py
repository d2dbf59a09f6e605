"""The values that travel between rooms: frozen, compared by content, knowing nothing of storage.

Offsets are characters of the document's text, half-open. Ids are strings made from content and
place.
"""

from __future__ import annotations

from ragstack.types.answers import Answer, Citation, Event, Retrieved, Sentence, Turn, Verdict
from ragstack.types.documents import (
    Change,
    Chunk,
    Document,
    DocumentInfo,
    Failure,
    Gone,
    IngestReport,
    Mark,
    Meta,
    Scalar,
    Source,
    Span,
    document_id_of,
)
from ragstack.types.generation import (
    Delta,
    Dry,
    Grammar,
    JsonSchema,
    Lark,
    Message,
    Mirostat,
    Money,
    Part,
    Quote,
    Quoted,
    Regex,
    Role,
    Sampling,
    TokenLogprob,
    ToolCall,
    ToolSpec,
    Usage,
)
from ragstack.types.images import MOST_IMAGE_BYTES, image_part, image_type, images_of
from ragstack.types.retrieval import Entity, Hit, Passage, Relation
from ragstack.types.schemas import schema_of
from ragstack.types.trace import TraceStep

__all__ = [
    "MOST_IMAGE_BYTES",
    "Answer",
    "Change",
    "Chunk",
    "Citation",
    "Delta",
    "Document",
    "DocumentInfo",
    "Dry",
    "Entity",
    "Event",
    "Failure",
    "Gone",
    "Grammar",
    "Hit",
    "IngestReport",
    "JsonSchema",
    "Lark",
    "Mark",
    "Message",
    "Meta",
    "Mirostat",
    "Money",
    "Part",
    "Passage",
    "Quote",
    "Quoted",
    "Regex",
    "Relation",
    "Retrieved",
    "Role",
    "Sampling",
    "Scalar",
    "Sentence",
    "Source",
    "Span",
    "TokenLogprob",
    "ToolCall",
    "ToolSpec",
    "TraceStep",
    "Turn",
    "Usage",
    "Verdict",
    "document_id_of",
    "image_part",
    "image_type",
    "images_of",
    "schema_of",
]
