"""What the interface of ragstack's own is asked, as pydantic models with examples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AskBody",
    "AssistantBody",
    "ConnectorBody",
    "FeedbackBody",
    "IngestBody",
    "PromptBody",
    "RerankBody",
    "RetrievalBody",
    "SearchBody",
    "SearchManyBody",
    "SettingsBody",
    "TitleBody",
    "VersionBody",
]

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
    again: bool = Field(
        False, description="Answer the chat's last turn anew; the new answer replaces it."
    )
    assistant: str | None = None
    model: str | None = Field(None, description="A name under [generators].")
    stream: bool = Field(True, description="Events while they come, else one answer.")
    keep: bool = Field(False, description="It goes on when its client goes away.")


class RetrievalBody(_Body):
    """How an assistant looks for passages and writes."""

    style: str | None = None
    quotes: bool | None = None
    transforms: list[str] | None = None
    where: dict[str, Any] | None = None


class AssistantBody(_Body):
    """An assistant, made without code."""

    instructions: str = Field(
        "", max_length=_MOST, examples=["You answer members of the rowing club."]
    )
    tone: str = Field("", max_length=1000, examples=["friendly and short"])
    model: str = ""
    collections: list[str] = Field([], max_length=100)
    retrieval: RetrievalBody = RetrievalBody()

    @property
    def told(self) -> str:
        """What the generator is told beside its rules."""
        tone = f"Tone: {self.tone.strip()}" if self.tone.strip() else ""
        return "\n".join(line for line in (self.instructions.strip(), tone) if line)


class FeedbackBody(_Body):
    """What somebody thought of an answer."""

    run: str = Field(max_length=100)
    value: Literal[1, -1]
    reason: str = Field("", max_length=4000)


class AttributionBody(_Body):
    """How closely to look at what made an answer."""

    exact: bool = Field(False, description="Read the prompt anew without each passage; slower.")


class TitleBody(_Body):
    """What a conversation is called."""

    title: str = Field(min_length=1, max_length=300)


class PromptBody(_Body):
    """A prompt's text."""

    text: str = Field(min_length=1, max_length=_MOST)


class VersionBody(_Body):
    """Which version of a prompt shall be in force."""

    version: int = Field(ge=0)


class SettingsBody(_Body):
    """Settings, nested as in ``ragstack.toml``; null leaves a setting to its default."""

    config: dict[str, Any] = Field(examples=[{"retrieve": {"k": 8}}])


class ConnectorBody(BaseModel):
    """A connector by name; its options stand beside."""

    model_config = ConfigDict(extra="allow", strict=True)

    use: str = Field(max_length=100, examples=["files"])


class IngestBody(_Body):
    """What to take in from where the server runs."""

    paths: list[str] = Field([], max_length=1000, examples=[["/srv/handbook"]])
    connector: ConnectorBody | None = None
    collection: str = "default"
    meta: dict[str, str | int | float | bool | None] = {}
    readers: list[str] = Field([], max_length=1000)


class RerankBody(BaseModel):
    """Texts to be ordered by how well they fit a question."""

    model_config = ConfigDict(extra="ignore")

    query: str = Field(max_length=_MOST, examples=["Who pays for the roof?"])
    documents: list[str | dict[str, Any]] = Field(
        min_length=1, max_length=1000, examples=[["The club pays.", "It rains."]]
    )
    model: str | None = None
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False
