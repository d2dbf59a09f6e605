from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from ragstack import registry
from ragstack.errors import ConfigError, MissingExtra, UnknownPlugin
from ragstack.index.faiss import FaissIndex

RegisterPlugin = Callable[[str, str, str], None]


def test_names_are_sorted_and_load() -> None:
    assert registry.names("indexes") == tuple(sorted(registry.TABLE["indexes"]))
    assert registry.load("indexes", "faiss") is FaissIndex
    assert set(registry.kinds()) == set(registry.TABLE)


def test_unknown_name_lists_and_suggests() -> None:
    with pytest.raises(
        UnknownPlugin, match=r"no index.* is named 'faise'; known: .*faiss"
    ) as caught:
        registry.load("indexes", "faise")
    assert caught.value.hint == "did you mean 'faiss'?"
    with pytest.raises(UnknownPlugin, match="known: loaders"):
        registry.names("nothing")


def test_foreign_plugin_is_found(foreign_plugin: RegisterPlugin) -> None:
    foreign_plugin("indexes", "theirs", "collections:OrderedDict")
    assert "theirs" in registry.names("indexes")
    assert registry.load("indexes", "theirs").__name__ == "OrderedDict"


def test_two_of_one_name_are_refused(foreign_plugin: RegisterPlugin) -> None:
    foreign_plugin("indexes", "faiss", "collections:OrderedDict")
    with pytest.raises(ConfigError, match="two plug-ins of kind 'indexes' are named 'faiss'"):
        registry.load("indexes", "faiss")
    foreign_plugin("chunkers", "x", "collections:OrderedDict")
    foreign_plugin("chunkers", "x", "collections:Counter")
    with pytest.raises(ConfigError, match="OrderedDict and collections:Counter"):
        registry.names("chunkers")


def test_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real, absent = importlib.import_module, "llama_cpp.sub"

    def import_module(name: str) -> ModuleType:
        if name.startswith("ragstack."):
            raise ModuleNotFoundError(f"No module named {absent!r}", name=absent)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(MissingExtra, match="'llama_cpp'") as caught:
        registry.load("generators", "local")
    assert caught.value.hint == 'pip install "ragstack[local]"'
    absent = "surprise"
    with pytest.raises(ModuleNotFoundError, match="surprise"):
        registry.load("generators", "local")


class Thing:
    def __init__(self, place: str, /, *, size: int = 3, embedder: object = None) -> None:
        self.size, self.embedder = size, embedder


def test_create_gives_what_is_taken(
    foreign_plugin: RegisterPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("theirs")
    module.make = lambda *, size=3, embedder=None: Thing("x", size=size, embedder=embedder)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "theirs", module)
    foreign_plugin("indexes", "thing", "theirs:make")
    made = registry.create("indexes", "thing", {"size": 5}, embedder="e", folder="not taken")
    assert (made.size, made.embedder) == (5, "e")
    with pytest.raises(ConfigError, match=r"'thing' has no option 'sise'; known: size$"):
        registry.create("indexes", "thing", {"sise": 5}, embedder="e")
    with pytest.raises(ConfigError, match="has no option 'embedder'"):
        registry.create("indexes", "thing", {"embedder": 5}, embedder="e")


def test_options_of_a_class() -> None:
    assert registry.options_of(Thing) == ("size", "embedder")
