"""The pages over a server on loopback, drawn without a browser."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import ragstack_apps.chat

MAIN = Path(ragstack_apps.chat.__file__).with_name("main.py")
Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def canned() -> Iterator[str]:
    spec = importlib.util.spec_from_file_location("double", Path(__file__).with_name("double.py"))
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = uvicorn.Server(uvicorn.Config(module.app(), port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def opened(canned: str, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Draws a page by its name; ``state`` is what the tab remembers."""
    monkeypatch.setenv("RAGSTACK_CHAT_SERVER", canned)

    def open_page(name: str = "", **state: Any) -> AppTest:
        page = AppTest.from_file(str(MAIN), default_timeout=30)
        for key, value in state.items():
            page.session_state[key] = value
        # AppTest turns to files only; these pages are functions, named by their address.
        page._page_hash = calc_hash(name)
        return page.run()

    return open_page
