"""A real server on loopback over a real base, and clients of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ragstack import Client, Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.testing.stacks import say, score
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

Serving = Callable[..., AbstractContextManager[Server]]


@contextmanager
def serving(folder: Path, *, generator: Any = None, **place: Any) -> Iterator[Server]:
    made = generator or ScriptedGenerator(say, scores=score)
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}, generator=made) as stack:
        house = House.of(stack, Place(port=0, **place))
        server = Server(house)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.stop(5)
            thread.join()
            house.close()


@contextmanager
def connected(folder: Path) -> Iterator[Client]:
    with serving(folder) as server, Client(server.url) as client:
        yield client


@pytest.fixture(name="serving", scope="session")
def _serving() -> Serving:
    return serving


@pytest.fixture(name="connected", scope="session")
def _connected() -> Callable[[Path], AbstractContextManager[Client]]:
    return connected
