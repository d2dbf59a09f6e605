"""The user's own models, beside the table: a JSON file in the cache."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragstack.errors import ModelError
from ragstack.models.table import (
    FileSource,
    HubSource,
    MavenSource,
    ModelFile,
    ModelPart,
    PackageSource,
    Source,
)

__all__ = ["load", "save"]

_KINDS: Mapping[str, type[Source]] = {
    "file": FileSource,
    "hub": HubSource,
    "packages": PackageSource,
    "maven": MavenSource,
}


def load(path: Path) -> dict[str, ModelFile]:
    """Return the models of a file, none where there is no file.

    Raises:
        ModelError: It is not what ``save`` writes.
    """
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        models = [_model(entry) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"the list of your own models cannot be read: {str(path)!r}: {error}",
            hint="mend it or delete it; the model files themselves are safe beside it",
        ) from error
    return {model.name: model for model in models}


def save(models: Mapping[str, ModelFile], path: Path) -> None:
    """Write models to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [_entry(models[name]) for name in sorted(models)]
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def _entry(model: ModelFile) -> dict[str, Any]:
    kinds = {kind: name for name, kind in _KINDS.items()}
    entry = dataclasses.asdict(model)
    entry["sources"] = [
        {"kind": kinds[type(source)], **dataclasses.asdict(source)} for source in model.sources
    ]
    return entry


def _model(entry: Mapping[str, Any]) -> ModelFile:
    fields = dict(entry)
    fields["parts"] = tuple(ModelPart(**part) for part in fields["parts"])
    fields["sources"] = tuple(_source(dict(source)) for source in fields["sources"])
    return ModelFile(**fields)


def _source(fields: dict[str, Any]) -> Source:
    kind = _KINDS[fields.pop("kind")]
    if kind is PackageSource:
        return PackageSource(tuple(fields["requirements"]))
    return kind(**fields)
