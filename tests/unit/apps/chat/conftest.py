"""The pages over a real server whose model reads from a script, drawn without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import ragstack_apps.chat
from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Delta, Message
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

MAIN = Path(ragstack_apps.chat.__file__).with_name("main.py")
STEP_S = 0.02
TRUE = "The lighthouse was built in 1871 by the engineer Agnes Murray. "
Open = Callable[..., AppTest]


def reply(messages: Sequence[Message]) -> str:
    asked = messages[-1].text
    if "shortest exact phrase" in asked:
        return "Agnes Murray"  # what is asked first: whether the passages say it at all
    return TRUE * 12 if "in 1871?" in asked else TRUE


class Paced(ScriptedGenerator):
    """Writes as a model does: a word, then a while nothing."""

    def stream(self, messages: Sequence[Message], **more: Any) -> Iterator[Delta]:
        for delta in super().stream(messages, **more):
            if delta.text:
                time.sleep(STEP_S)
            yield delta


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pages") / "kb"
    model = Paced(reply, scores=lambda _messages, _text: -0.1)
    with Stack.open(folder, overrides={"embed": {"use": "hashing"}}, generator=model) as stack:
        stack.ingest(repository / "tests" / "corpus")
        house = House.of(stack, Place(port=0))
        server = Server(house)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.stop(5)
            thread.join()
            house.close()


@pytest.fixture
def opened(served: str, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Draws a page by its name; ``state`` is what the tab remembers."""
    monkeypatch.setenv("RAGSTACK_CHAT_SERVER", served)

    def open_page(name: str = "", **state: Any) -> AppTest:
        page = AppTest.from_file(str(MAIN), default_timeout=30)
        for key, value in state.items():
            page.session_state[key] = value
        # AppTest turns to files only; these pages are functions, named by their address.
        page._page_hash = calc_hash(name)
        return page.run()

    return open_page
