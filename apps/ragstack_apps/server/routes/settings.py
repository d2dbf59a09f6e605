"""What can be chosen without code: the configuration, assistants, prompts with their versions."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath

from ragstack import config as configuration
from ragstack import registry
from ragstack.errors import ConfigError, InputError, NotFound
from ragstack.generate import prompts as prompt_files
from ragstack.types import Record
from ragstack.types.plain import plain
from ragstack_apps.server.assistants import (
    assistant,
    assistants,
    forget_assistant,
    keep_assistant,
)
from ragstack_apps.server.bodies import AssistantBody, PromptBody, SettingsBody, VersionBody
from ragstack_apps.server.caller import Administers, Asks
from ragstack_apps.server.house import House
from ragstack_apps.server.toml import written

__all__ = ["router"]

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
Name = Annotated[str, InPath(min_length=1, max_length=100)]


def router(house: House) -> APIRouter:
    """Return ``/api/settings``, ``/api/assistants`` and ``/api/prompts``."""
    routes = APIRouter(prefix="/api", tags=["settings"])
    catalog = house.stack.parts.catalog

    @routes.get("/settings", summary="The configuration in force; secrets are names of variables")
    def settings(caller: Administers) -> dict[str, Any]:
        return _settings(house)

    @routes.put("/settings", summary="Change the configuration; the next start reads it")
    def change(body: SettingsBody, caller: Administers) -> dict[str, Any]:
        _write_settings(house, body.config)
        return {**_settings(house), "restart": True}

    @routes.get("/assistants", summary="Assistants")
    def all_assistants(caller: Asks) -> dict[str, Any]:
        found = assistants(catalog)
        seen = [
            one
            for one in found
            if not one["collections"] or any(caller.sees(name) for name in one["collections"])
        ]
        return {"assistants": seen}

    @routes.put("/assistants/{name}", summary="Make or change an assistant")
    def put_assistant(name: Name, body: AssistantBody, caller: Administers) -> dict[str, Any]:
        keep_assistant(catalog, name, body, caller.user)
        return {"name": name, **assistant(catalog, name).model_dump()}

    @routes.delete("/assistants/{name}", summary="Forget an assistant")
    def delete_assistant(name: Name, caller: Administers) -> dict[str, Any]:
        return {"removed": forget_assistant(catalog, name)}

    @routes.get("/prompts", summary="Every prompt, its text in force and its versions")
    def all_prompts(caller: Administers) -> dict[str, Any]:
        rows = []
        for language in prompt_files.LANGUAGES:
            for name, original in prompt_files.load(language).texts.items():
                rows.append(_prompt(house, language, name, original))
        return {"prompts": rows}

    @routes.put("/prompts/{language}/{name}", summary="Change a prompt; its versions are kept")
    def put_prompt(
        language: Name, name: Name, body: PromptBody, caller: Administers
    ) -> dict[str, Any]:
        original = _original(language, name)
        _keep_prompt(house, language, name, body.text, caller.user)
        return _prompt(house, language, name, original)

    @routes.post("/prompts/{language}/{name}/restore", summary="Bring a version back")
    def restore(
        language: Name, name: Name, body: VersionBody, caller: Administers
    ) -> dict[str, Any]:
        original = _original(language, name)
        versions = _prompt(house, language, name, original)["versions"]
        texts = {one["version"]: one["text"] for one in versions}
        if body.version not in texts:
            raise NotFound(f"{name!r} has no version {body.version}")
        _keep_prompt(house, language, name, texts[body.version], caller.user)
        return _prompt(house, language, name, original)

    return routes


def _settings(house: House) -> dict[str, Any]:
    file = house.stack.folder / configuration.FILE_NAME
    kinds = ("chunkers", "embedders", "indexes", "rerankers", "generators", "transforms")
    return {
        "config": plain(configuration.masked(house.stack.config)),
        "file": file.read_text("utf-8") if file.is_file() else "",
        "choices": {kind: list(registry.names(kind)) for kind in kinds},
    }


def _write_settings(house: House, changes: Mapping[str, Any]) -> None:
    """Lay changes over the base's file, check the whole, and write it in one step.

    Raises:
        InputError: It cannot be used; the file is as it was.
    """
    file = house.stack.folder / configuration.FILE_NAME
    known = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
    text = written(_laid(known, changes))
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=".settings-", delete=False
    ) as part:
        part.write(text)
    path = Path(part.name)
    try:
        configuration.load(house.stack.folder, file=path)
        _check_names(tomllib.loads(text))
        os.replace(path, file)
    except ConfigError as error:
        told = error.message.replace(str(path), configuration.FILE_NAME)
        raise InputError(told, hint=error.hint) from error
    finally:
        path.unlink(missing_ok=True)


def _laid(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(under)
    for key, value in over.items():
        held = laid.get(key)
        if value is None:
            laid.pop(key, None)
        elif isinstance(value, Mapping) and set(value) != {"env"}:
            laid[key] = _laid(held if isinstance(held, Mapping) else {}, value)
        else:
            laid[key] = value
    return laid


def _check_names(data: Mapping[str, Any]) -> None:
    """Refuse plug-ins that there are not.

    Raises:
        UnknownPlugin: Nothing has that name.
    """
    kinds = {"chunk": "chunkers", "embed": "embedders", "generate": "generators"}
    for section, kind in {**kinds, "rerank": "rerankers"}.items():
        use = data.get(section, {}).get("use")
        if use not in (None, "none"):
            registry.load(kind, use)


def _original(language: str, name: str) -> str:
    if language not in prompt_files.LANGUAGES:
        raise NotFound(f"there are no prompts in {language!r}")
    texts = prompt_files.load(language).texts
    if name not in texts:
        raise NotFound(f"there is no prompt {name!r}")
    return texts[name]


def _prompt(house: House, language: str, name: str, original: str) -> dict[str, Any]:
    record = house.stack.parts.catalog.record("prompt", f"{language}/{name}")
    versions = [{"version": 0, "text": original, "at": None, "user": ""}]
    versions += list(record.body["versions"]) if record else []
    return {
        "language": language,
        "name": name,
        "text": str(record.body["text"]) if record else original,
        "variables": sorted(set(_VARIABLE.findall(original))),
        "versions": versions,
    }


def _keep_prompt(house: House, language: str, name: str, text: str, user: str) -> None:
    original = _original(language, name)
    found, wanted = set(_VARIABLE.findall(text)), set(_VARIABLE.findall(original))
    if found != wanted:
        raise InputError(
            f"prompt {name!r} has the variables {sorted(found)}, needs {sorted(wanted)}"
        )
    catalog, key = house.stack.parts.catalog, f"{language}/{name}"
    record = catalog.record("prompt", key)
    versions = list(record.body["versions"]) if record else []
    now = datetime.now(UTC)
    version = 1 + max((int(one["version"]) for one in versions), default=0)
    versions.append({"version": version, "text": text, "at": now.isoformat(), "user": user})
    body = {
        "language": language,
        "name": name,
        "text": text,
        "versions": versions,
        "original": text == original,
    }
    catalog.put_record(Record("prompt", key, body, now, user))
    house.stack.forget_edited()
