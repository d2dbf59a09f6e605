"""Assistants in their records, and what one adds to a question out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ragstack.errors import InputError, NotFound
from ragstack.protocols import Catalog
from ragstack.types import Record
from ragstack_apps.server.bodies import AskBody, AssistantBody

__all__ = ["assistant", "assistants", "forget_assistant", "keep_assistant", "with_assistant"]

_KIND = "assistant"


def assistants(catalog: Catalog) -> list[dict[str, Any]]:
    """Return every assistant, by name."""
    found = [{"name": record.id, **record.body} for record in catalog.records(_KIND)]
    return sorted(found, key=lambda one: str(one["name"]))


def assistant(catalog: Catalog, name: str) -> AssistantBody:
    """Return an assistant.

    Raises:
        NotFound: There is none of that name.
    """
    record = catalog.record(_KIND, name)
    if record is None:
        raise NotFound(f"there is no assistant {name!r}")
    return AssistantBody(**record.body)


def keep_assistant(catalog: Catalog, name: str, body: AssistantBody, owner: str) -> None:
    """Store an assistant in place of the one of its name."""
    catalog.put_record(Record(_KIND, name, body.model_dump(), datetime.now(UTC), owner))


def forget_assistant(catalog: Catalog, name: str) -> int:
    """Forget an assistant; return whether it was there."""
    return catalog.remove_records(_KIND, [name])


def with_assistant(body: AskBody, found: AssistantBody) -> AskBody:
    """Return a question as an assistant would have it asked; what the question says itself stands.

    Raises:
        InputError: It asks about a collection that is not the assistant's.
    """
    changes: dict[str, Any] = {}
    if found.collections and body.collection not in found.collections:
        if "collection" in body.model_fields_set:
            raise InputError(
                f"the assistant answers from {', '.join(found.collections)}, "
                f"not from {body.collection!r}"
            )
        changes["collection"] = found.collections[0]
    if found.model and body.model is None:
        changes["model"] = found.model
    for name, value in found.retrieval.model_dump(exclude_none=True).items():
        if getattr(body, name) is None:
            changes[name] = value
    return body.model_copy(update=changes)
