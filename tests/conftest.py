"""What every test starts from: no network, a clean environment, no foreign plug-ins, seeds.

Tests marked ``integration`` keep the user's own cache: models are fetched into it once a machine.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import random
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import numpy as np
import pytest

from ragstack import registry

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "corpus"
_WHERE_THINGS_ARE = ("RAGSTACK_CACHE", "RAGSTACK_DATA")

# Read by libraries when they are imported, so set before any test is collected.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TRANSFORMERS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
)

hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=5_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


class NetworkRefused(RuntimeError):
    """A test reached for another machine; no OSError, so that no fall-back takes it for one."""

    def __init__(self, host: object) -> None:
        super().__init__(
            f"a test reached for {host!r}; only loopback is open: serve it from a local server"
        )


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every address but loopback, in this process; subprocesses are not touched."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    sendto, getaddrinfo = socket.socket.sendto, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _refuse_foreign(self.family, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_foreign(self.family, address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        _refuse_foreign(self.family, rest[-1])
        return sendto(self, data, *rest)

    def guarded_getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if host is not None and not _is_loopback(host):
            raise NetworkRefused(host)
        return getaddrinfo(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket.socket, "sendto", guarded_sendto)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)


def _refuse_foreign(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise NetworkRefused(address[0])


def _is_loopback(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in ("localhost", ""):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty user cache for the whole run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, session_cache: Path
) -> None:
    """Take away settings of the person who runs the tests; give an empty cache."""
    real = request.node.get_closest_marker("integration") is not None
    for name in list(os.environ):
        if name.startswith("RAGSTACK_") and not (real and name in _WHERE_THINGS_ARE):
            monkeypatch.delenv(name)
    if not real:
        monkeypatch.setenv("RAGSTACK_CACHE", str(session_cache))
        monkeypatch.setenv("XDG_CACHE_HOME", str(session_cache))
        monkeypatch.setenv("HF_HOME", str(session_cache / "huggingface"))


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Start every test from the same random numbers."""
    random.seed(0)
    np.random.seed(0)


RegisterPlugin = Callable[[str, str, str], None]


@pytest.fixture(autouse=True)
def foreign_plugin(monkeypatch: pytest.MonkeyPatch) -> RegisterPlugin:
    """Hide installed plug-ins; call it to show one: (kind, name, 'module:attribute')."""
    real = metadata.entry_points
    shown: list[metadata.EntryPoint] = []

    def entry_points(**params: Any) -> Any:
        group = params.get("group")
        if group is None:
            found = real()
            others = [g for g in found.groups if not g.startswith("ragstack.")]
            points = [point for group in others for point in found.select(group=group)]
            return metadata.EntryPoints([*points, *shown]).select(**params)
        if str(group).startswith("ragstack."):
            return metadata.EntryPoints(shown).select(**params)
        return real(**params)

    def register(kind: str, name: str, value: str) -> None:
        shown.append(metadata.EntryPoint(name=name, value=value, group=f"ragstack.{kind}"))
        registry._scanned.cache_clear()

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    return register


@pytest.fixture(scope="session")
def tiny_corpus() -> Mapping[str, str]:
    """Eight short documents, five in English and three in French, by file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(CORPUS.iterdir())}


@pytest.fixture(scope="session")
def tiny_questions() -> tuple[tuple[str, str, str], ...]:
    """Questions on the tiny corpus: (question, file that answers, words of the answer)."""
    return (
        ("Who built the lighthouse?", "lighthouse.md", "Agnes Murray"),
        ("Who pays for repairs to the roof of the boathouse?", "lease.md", "The Harbour Trust"),
        ("How much honey did the hive give in 2023?", "bees.txt", "31 kilograms"),
        ("What does a bicycle cost on the ferry?", "ferry.md", "3 euros"),
        ("How long does the sourdough bake?", "bread.md", "45 minutes"),
        ("Qui entretient les vannes du moulin ?", "bail.md", "Le locataire, M. Étienne Garrec"),
        ("Quel est le marnage aux grandes marées ?", "marees.txt", "7,80 mètres"),
        ("À quelle heure part la procession ?", "fete.md", "9 h 30"),
    )


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Path:
    """A folder of its own with the tiny corpus, to change at will."""
    return Path(shutil.copytree(CORPUS, tmp_path / "corpus"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def script() -> Iterator[Callable[[str], ModuleType]]:
    """A function that loads scripts/NAME.py as a module."""
    folder = str(ROOT / "scripts")
    sys.path.insert(0, folder)  # scripts import each other by name, as they do when run

    def load(name: str) -> ModuleType:
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path.remove(folder)
