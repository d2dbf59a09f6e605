"""A folder in, the modules below it out: what each imports, where, and which room it stands in.

It reads sources and imports nothing of ragstack. Knows the rooms, and no rule about them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HOUSE = "ragstack"
FLOORS = {
    "errors": 0,
    "types": 1,
    "protocols": 2,
    "filters": 2,
    "registry": 3,
    "config": 3,
    "http": 3,
    "sqlite": 3,
    "vectors": 3,
    "models": 3,
    "engine": 3,
    "testing": 3,
    "documents": 4,
    "chunking": 4,
    "embedding": 4,
    "catalog": 4,
    "index": 4,
    "rerank": 4,
    "graph": 4,
    "generate": 4,
    "pipeline": 5,
    "client": 5,
    "agents": 6,
    "cli": 7,
    "__main__": 8,
}
NEIGHBOURS = {
    "ragstack_connectors": "connectors",
    "ragstack_apps": "apps",
    "ragstack_evals": "evals",
}


@dataclass(frozen=True)
class Imported:
    """One import statement's target, as written."""

    target: str
    line: int
    in_function: bool


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path
    source: str

    @cached_property
    def code(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.source, str(self.path))

    @property
    def package(self) -> str:
        """Name of the top-level package."""
        return self.name.partition(".")[0]

    @property
    def room(self) -> str:
        """First part of the name below the package; empty for the front door."""
        return self.name.split(".")[1] if "." in self.name else ""

    def at(self, line: int) -> str:
        """Return where a line stands, for a message."""
        return f"{self.name}:{line}"


@dataclass(frozen=True)
class Tree:
    """All modules of the house and its neighbours, by dotted name."""

    modules: dict[str, Module]

    @classmethod
    def read(cls, root: Path) -> Tree:
        """Return the tree of the packages under a repository root."""
        folders = {HOUSE: root / HOUSE}
        folders |= {package: root / place / package for package, place in NEIGHBOURS.items()}
        found = (m for package, folder in folders.items() for m in _modules(package, folder))
        return cls({module.name: module for module in found})

    def imports(self, module: Module) -> list[Imported]:
        """Return what a module imports, each target the longest name that is a module here."""
        found: list[Imported] = []
        for node, inside in walk(module.code, in_function=False):
            for target in _targets(node, module):
                found.append(Imported(self._resolve(target), node.lineno, inside))
        return found

    def _resolve(self, target: str) -> str:
        name = target
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        if name == HOUSE and room_of(target) in FLOORS:
            return target  # a room that is not there, rather than the front door
        return name or target

    def house(self) -> Iterator[Module]:
        """Yield the modules of ragstack itself."""
        return (module for module in self.modules.values() if module.package == HOUSE)


def _modules(package: str, folder: Path) -> Iterator[Module]:
    for path in sorted(folder.rglob("*.py")):
        parts = [package, *path.relative_to(folder).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        yield Module(".".join(parts), path, path.read_text(encoding="utf-8"))


def walk(
    node: ast.AST, *, in_function: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom | ast.Call, bool]]:
    """Yield imports and calls, and whether each stands in a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom, ast.Call)):
            yield child, in_function
        inside = in_function or isinstance(
            child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        )
        yield from walk(child, in_function=inside)


def _targets(node: ast.Import | ast.ImportFrom | ast.Call, module: Module) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        origin = node.module or ""
        if node.level:
            parts = module.name.split(".")
            if module.path.name != "__init__.py":
                parts.pop()
            parts = parts[: len(parts) - node.level + 1]
            origin = ".".join([*parts, *([origin] if origin else [])])
        return [f"{origin}.{alias.name}" for alias in node.names]
    literal = node.args[0] if node.args else None
    if called(node) in ("import_module", "__import__") and isinstance(literal, ast.Constant):
        return [str(literal.value)]
    return []


def called(node: ast.Call) -> str:
    """Return the name of what a call calls; empty where it has none."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def package_of(target: str) -> str:
    """Return the package that a dotted name begins with."""
    return target.partition(".")[0]


def room_of(target: str) -> str:
    """Return the room of a dotted name; empty for a package itself."""
    return target.split(".")[1] if "." in target else ""
