"""The house keeps to its plan, and each rule of the plan catches a small house that breaks it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ragstack import registry
from ragstack.errors import MissingExtra

HEAVY = {
    *("chromadb", "faiss", "fastapi", "huggingface_hub", "kreuzberg", "langchain", "llama_cpp"),
    *("llguidance", "neo4j", "onnx", "onnxruntime", "pydantic", "pypdfium2", "rich", "selectolax"),
    *("streamlit", "tantivy", "tokenizers", "torch", "typer"),
}
SPREAD = "x = 1\n"
OPENING = '"""A module."""\n'

# Each rule, and files that break it (path, source). An empty house stands round them.
BAD_HOUSES: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "upward_imports",
        {
            "ragstack/chunking/a.py": "from ragstack.pipeline.b import c\n",
            "ragstack/pipeline/b.py": "c = 1\n",
        },
    ),
    ("upward_imports", {"ragstack/types/a.py": "from ragstack import Stack\n"}),
    ("upward_imports", {"ragstack/types/a.py": "from ..filters import b\n"}),
    ("upward_imports", {"ragstack/cellar/a.py": ""}),
    (
        "rooms_apart",
        {
            "ragstack/chunking/a.py": "import ragstack.embedding.b\n",
            "ragstack/embedding/b.py": "",
        },
    ),
    ("rooms_apart", {"ragstack/chunking/a.py": "from ragstack.index import b\n"}),
    (
        "import_cycles",
        {
            "ragstack/engine/a.py": "from ragstack.engine.b import c\n",
            "ragstack/engine/b.py": "from ragstack.engine import d\n",
            "ragstack/engine/d.py": "from . import a\n",
        },
    ),
    (
        "late_imports",
        {
            "ragstack/engine/a.py": "def f():\n    from ragstack.types import Hit\n",
        },
    ),
    (
        "late_imports",
        {
            "ragstack/engine/a.py": "import importlib\n"
            "f = lambda: importlib.import_module('ragstack.b')\n"
        },
    ),
    ("neighbours", {"ragstack/engine/a.py": "import ragstack_connectors.files\n"}),
    ("neighbours", {"apps/ragstack_apps/a.py": "import ragstack_evals.metrics\n"}),
    (
        "neighbours",
        {
            "connectors/ragstack_connectors/a.py": "from ragstack.catalog import b\n",
            "ragstack/catalog/b.py": "",
        },
    ),
    ("one_home", {"ragstack/generate/a.py": "import llama_cpp\n"}),
    ("long_files", {"ragstack/engine/a.py": SPREAD * 400}),
    ("front_door", {"ragstack/__init__.py": "from ragstack.types import Hit\n__all__ = []\n"}),
    ("front_door", {"ragstack/__init__.py": "B = 1\nA = 1\n__all__ = ['B', 'A']\n"}),
    ("front_door", {"ragstack/__init__.py": "__all__ = ['Ghost']\n"}),
    (
        "front_door",
        {
            "ragstack/__init__.py": "".join(f"N{n} = 1\n" for n in range(10, 51))
            + f"__all__ = {[f'N{n}' for n in range(10, 51)]}\n"
        },
    ),
    ("prints", {"ragstack/engine/a.py": "def f():\n    print(1)\n"}),
    ("logging_setup", {"ragstack/cli/a.py": "import logging\nlogging.basicConfig()\n"}),
    (
        "logging_setup",
        {
            "ragstack/engine/a.py": "import logging\n"
            "def f():\n    logging.getLogger().setLevel(10)\n",
        },
    ),
    ("vague_names", {"ragstack/engine/utils.py": ""}),
    ("vague_names", {"ragstack/engine/a.py": "class ModelManager:\n    x = 1\n"}),
    ("vague_names", {"ragstack/engine/a.py": "x = 1  # TODO think\n"}),
)


@pytest.fixture(scope="module")
def plan(script: Callable[[str], ModuleType]) -> ModuleType:
    """The rules, scripts/architecture.py."""
    return script("architecture")


@pytest.fixture(scope="module")
def tree(plan: ModuleType, repository: Path) -> Any:
    """The real house."""
    return plan.Tree.read(repository)


def build(root: Path, files: dict[str, str]) -> Path:
    """Write a small house that keeps every rule but for the given files."""
    house = {"ragstack/__init__.py": "__all__ = []\n", "ragstack/types/__init__.py": "Hit = 1\n"}
    for name, source in {**house, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OPENING + source, encoding="utf-8")
    return root


def pytest_rules(plan: ModuleType) -> list[str]:
    """Return the names of all rules."""
    return [rule.__name__ for rule in plan.RULES]


def test_the_house_keeps_every_rule(plan: ModuleType, tree: Any) -> None:
    """Each line names the rule, the file and the line; docs/concepts/architecture.md says why."""
    broken = [f"{rule.__name__}: {line}" for rule in plan.RULES for line in rule(tree)]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("package", ["ragstack", "ragstack_connectors", "ragstack_evals"])
def test_the_whole_house_is_looked_at(tree: Any, package: str) -> None:
    """A check over an empty tree would pass for ever."""
    assert any(name.startswith(f"{package}.") for name in tree.modules)


def test_a_small_good_house_breaks_no_rule(plan: ModuleType, tmp_path: Path) -> None:
    good = {
        "ragstack/engine/a.py": "import llama_cpp\nfrom ragstack.types import Hit\n",
        "ragstack/cli/b.py": "import ragstack\ndef main():\n    print(ragstack)\n",
        "evals/ragstack_evals/c.py": "import ragstack.engine.a\n",
        "connectors/ragstack_connectors/d.py": "from ragstack import types\n",
    }
    tree = plan.Tree.read(build(tmp_path, good))
    assert [line for rule in plan.RULES for line in rule(tree)] == []


@pytest.mark.parametrize(
    ("rule", "files"), BAD_HOUSES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_bad_house_is_caught(
    plan: ModuleType, tmp_path: Path, rule: str, files: dict[str, str]
) -> None:
    tree = plan.Tree.read(build(tmp_path, files))
    assert getattr(plan, rule)(tree)


def test_a_missing_docstring_is_caught(plan: ModuleType, tmp_path: Path) -> None:
    build(tmp_path, {})
    (tmp_path / "ragstack" / "bare.py").write_text("x = 1\n", encoding="utf-8")
    assert plan.docstrings(plan.Tree.read(tmp_path)) == ["ragstack.bare has no opening docstring"]


def test_every_rule_has_a_bad_house(plan: ModuleType) -> None:
    shown = {rule for rule, _ in BAD_HOUSES} | {"docstrings"}
    assert set(pytest_rules(plan)) == shown


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages that a statement loads in a fresh interpreter."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_import_ragstack_is_light() -> None:
    """Heavy libraries are imported by the leaf module that uses them, never on the way to it."""
    assert loaded_by("import ragstack") & HEAVY == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert "rich" in loaded_by("import ragstack, rich")


def test_the_front_door_delivers_what_it_lists() -> None:
    """Every name in __all__ can be had, and says it lives in ragstack."""
    door = import_module("ragstack")
    for name in door.__all__:
        assert getattr(door, name) is not None
    assert set(door.__all__) <= set(dir(door))
    with pytest.raises(AttributeError, match="Ghost"):
        _ = door.Ghost


def test_the_front_door_delivers_what_it_shows_to_type_checkers(tree: Any) -> None:
    """A name has one home, written twice: for types, and in the table that is asked."""
    door = import_module("ragstack")
    shown = [node for node in tree.modules["ragstack"].code.body if isinstance(node, ast.If)]
    origins = {
        alias.name: statement.module
        for node in shown
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert sorted(origins) == door.__all__
    for name, origin in origins.items():
        assert getattr(door, name) is getattr(import_module(origin), name)


def test_import_ragstack_opens_no_room() -> None:
    """Whoever needs one value does not wait for the house."""
    code = "import sys, ragstack\nprint([m for m in sys.modules if m.startswith('ragstack.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", sorted(registry.TABLE))
def test_every_registered_name_can_be_imported(kind: str) -> None:
    """A name may lack only a package that is really absent; its error names the extra."""
    for name in registry.TABLE[kind]:
        try:
            assert callable(registry.load(kind, name)), f"{kind}.{name} is not callable"
        except MissingExtra as missing:
            with pytest.raises(ModuleNotFoundError):
                import_module(missing.package)


# Whose package an optional import is, where it is not installed and so cannot be asked.
OWNERS = {
    "PIL": ["pillow"],
    "haystack": ["haystack-ai"],
    "llama_index": ["llama-index-core"],
    "sklearn": ["scikit-learn"],
}


def declared(project: dict[str, Any]) -> set[str]:
    """Return the normalised names of every package that pyproject.toml asks for."""
    extras = project.get("optional-dependencies", {})
    lines = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    return {re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", line)[0]).lower() for line in lines}


def undeclared(tree: Any, plan: ModuleType, known: set[str]) -> set[str]:
    """Return foreign packages that sources import and no dependency brings."""
    first_party = {plan.HOUSE, *plan.NEIGHBOURS}
    owners = metadata.packages_distributions()
    found = set()
    for module in tree.modules.values():
        for imported in tree.imports(module):
            package = imported.target.partition(".")[0]
            if package in first_party or package in sys.stdlib_module_names or not package:
                continue
            names = {
                re.sub(r"[-_.]+", "-", owner).lower()
                for owner in owners.get(package, OWNERS.get(package, [package]))
            }
            if not names & known:
                found.add(f"{package}, imported by {module.name}")
    return found


def test_every_import_is_a_declared_dependency(
    plan: ModuleType, tree: Any, repository: Path
) -> None:
    """What only comes along with another package may be gone tomorrow."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert undeclared(tree, plan, declared(project)) == set()


def test_an_undeclared_import_is_caught(plan: ModuleType, tmp_path: Path) -> None:
    tree = plan.Tree.read(build(tmp_path, {"ragstack/engine/a.py": "import rich.table\n"}))
    assert undeclared(tree, plan, {"numpy"}) == {"rich, imported by ragstack.engine.a"}
    assert undeclared(tree, plan, {"rich"}) == set()
