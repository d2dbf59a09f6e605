"""What tests/conftest.py promises: no network, a clean environment, no foreign plug-ins."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from ragstack import registry
from ragstack.errors import UnknownPlugin


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", b"example.org", "2001:db8::1"])
def test_names_and_addresses_of_other_machines_are_refused(host: str | bytes) -> None:
    with pytest.raises(RuntimeError, match="only loopback is open"):
        socket.getaddrinfo(host, 80)


@pytest.mark.parametrize("call", ["connect", "connect_ex"])
def test_connections_to_other_machines_are_refused(call: str) -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match="only loopback is open"):
        getattr(client, call)(("192.0.2.1", 80))


def test_datagrams_to_other_machines_are_refused() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        pytest.raises(RuntimeError, match="only loopback is open"),
    ):
        client.sendto(b"x", ("192.0.2.1", 53))


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        with socket.create_connection(("localhost", server.getsockname()[1])) as client:
            assert client.recv(5) == b"hello"
        thread.join()


def test_the_environment_is_clean(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert [name for name in os.environ if name.startswith("RAGSTACK_")] == ["RAGSTACK_CACHE"]
    assert Path(os.environ["RAGSTACK_CACHE"]).is_relative_to(tmp_path_factory.getbasetemp())
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_foreign_plugins_are_hidden_unless_shown(
    foreign_plugin: Callable[[str, str, str], None],
) -> None:
    assert list(metadata.entry_points(group="ragstack.chunkers")) == []
    with pytest.raises(UnknownPlugin):
        registry.load("chunkers", "mine")
    foreign_plugin("chunkers", "mine", "pathlib:Path")
    assert registry.load("chunkers", "mine") is Path
    assert "mine" in registry.names("chunkers")


def test_entry_points_of_others_are_left_alone() -> None:
    assert any(point.name == "pip" for point in metadata.entry_points(group="console_scripts"))


def test_random_numbers_are_the_same_every_time() -> None:
    assert random.random() == random.Random(0).random()
    assert np.random.random() == np.random.RandomState(0).random()


def test_every_question_of_the_tiny_corpus_is_answered_by_its_file(
    tiny_corpus: dict[str, str], tiny_questions: tuple[tuple[str, str, str], ...]
) -> None:
    assert len(tiny_corpus) == len(tiny_questions) == 8
    for _, name, words in tiny_questions:
        assert words in " ".join(tiny_corpus[name].split())
