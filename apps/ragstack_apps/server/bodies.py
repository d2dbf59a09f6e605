"""What the interface of ragstack's own is asked, as pydantic models with examples."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AskBody", "SearchBody", "SearchManyBody"]

_MOST = 32_000  # characters of a question


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Where(_Body):
    where: dict[str, Any] | None = Field(
        None, description="Only passages whose metadata match.", examples=[{"language": "en"}]
    )
    collection: str = Field("default", examples=["default"])


class SearchBody(_Where):
    """A search."""

    question: str = Field(max_length=_MOST, examples=["Who pays for repairs to the roof?"])
    k: int | None = Field(None, ge=1, le=1000)
    min_score: float | dict[str, float] | None = None
    transforms: list[str] | None = Field(None, examples=[["rewrite"]])


class SearchManyBody(_Where):
    """Searches made together."""

    questions: list[str] = Field(
        max_length=1000, examples=[["Who pays for the roof?", "When was it built?"]]
    )
    k: int | None = Field(None, ge=1, le=1000)
    min_score: float | dict[str, float] | None = None


class AskBody(_Where):
    """A question to be answered."""

    question: str = Field(max_length=_MOST, examples=["Who pays for repairs to the roof?"])
    style: str | None = Field(None, examples=["brief"])
    quotes: bool | None = None
    transforms: list[str] | None = None
    chat: str | None = Field(None, max_length=200, description="Id of a conversation.")
    assistant: str | None = None
    model: str | None = Field(None, description="A name under [generators].")
    stream: bool = Field(True, description="Events while they come, else one answer.")
    keep: bool = Field(False, description="It goes on when its client goes away.")
