"""Servers on loopback: over a tiny model with the whole engine, and over a script."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from ragstack import Stack
from ragstack.generate.local import LocalGenerator
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.testing.tiny_model import TinyModel
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGenerator]:
    """Two streams over a model of random weights."""
    path = TinyModel(context_length=2048).write(tmp_path_factory.mktemp("apps") / "tiny.gguf")
    with LocalGenerator(model=str(path), context_size=2048, threads=1, streams=2) as generator:
        yield generator


@pytest.fixture(scope="session")
def openid() -> ModuleType:
    """The module of a provider of sign-on, accounts/provider.py."""
    path = Path(__file__).parent / "accounts" / "provider.py"
    spec = importlib.util.spec_from_file_location("openid_provider", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serving(
    folder: Path,
    generator: Any,
    *,
    deadline_s: float = 60,
    settings: dict[str, Any] | None = None,
    **place: Any,
) -> Iterator[Server]:
    overrides = {"embed": {"use": "hashing"}, "serve": settings or {}}
    with Stack.open(folder, overrides=overrides, generator=generator) as stack:
        house = House.of(stack, Place(port=0, deadline_s=deadline_s, **place))
        server = Server(house)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            if not server.draining:
                server.stop(5)
            thread.join()
            house.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers and stops them at the end."""
    with ExitStack() as stack:
        yield lambda generator, **more: stack.enter_context(
            serving(tmp_path / "kb", generator, **more)
        )


@pytest.fixture
def client() -> Iterator[Callable[[Server], httpx.Client]]:
    """Makes clients of a server and closes them at the end."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(
            httpx.Client(base_url=server.url, timeout=30, trust_env=False)
        )


@pytest.fixture
def filled(tmp_path: Path, corpus_folder: Path) -> Path:
    """A base with a few documents, where ``serve`` looks for it."""
    folder = tmp_path / "kb"
    generator = ScriptedGenerator([])
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}, generator=generator) as stack:
        stack.ingest(corpus_folder)
    return folder
