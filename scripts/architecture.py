"""The plan of the house as checks: a source tree in, broken rules out, one line each.

Every rule is a function of a Tree, so that tests can show each one a small bad house. It reads
sources and imports nothing of ragstack. Run it alone: python scripts/architecture.py
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
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
ROOMS_FLOOR = 4
FRONT_DOOR_FLOOR = 6  # what the door shows: the pipeline, the agents and below
NEIGHBOURS = {
    "ragstack_connectors": "connectors",
    "ragstack_apps": "apps",
    "ragstack_evals": "evals",
}
SEEN_BY_CONNECTORS = ("", "protocols", "types", "errors", "testing")
ONE_HOME = {"llama_cpp": "engine"}  # a vendor that one room alone may know
MOST_LINES = 400
MOST_NAMES = 40
_VAGUE_FILES = {"utils.py", "common.py", "helpers.py", "misc.py"}
_VAGUE_CLASS = re.compile(r"(Manager|Helper|Util|Utils)$")
_BARE_TODO = re.compile(r"#\s*(TODO|FIXME|XXX)(?!\s*\(#\d+\))")
_LOGGING_SETUP = {"basicConfig", "dictConfig", "fileConfig", "addHandler", "setLevel", "disable"}


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
        for node, inside in _walk(module.code, in_function=False):
            for target in _targets(node, module):
                found.append(Imported(self._resolve(target), node.lineno, inside))
        return found

    def _resolve(self, target: str) -> str:
        name = target
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        if name == HOUSE and _room_of(target) in FLOORS:
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


def _walk(
    node: ast.AST, *, in_function: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom | ast.Call, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom, ast.Call)):
            yield child, in_function
        inside = in_function or isinstance(
            child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        )
        yield from _walk(child, in_function=inside)


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
    if _called(node) in ("import_module", "__import__") and isinstance(literal, ast.Constant):
        return [str(literal.value)]
    return []


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _package_of(target: str) -> str:
    return target.partition(".")[0]


def _room_of(target: str) -> str:
    return target.split(".")[1] if "." in target else ""


def _floor_of(room: str) -> int | None:
    return FRONT_DOOR_FLOOR if room == "" else FLOORS.get(room)


def upward_imports(tree: Tree) -> list[str]:
    """A module imports its own room, its own floor or a lower one."""
    broken: list[str] = []
    for module in tree.house():
        own = _floor_of(module.room)
        if own is None:
            broken.append(f"{module.name}: the room {module.room!r} stands on no floor")
            continue
        for imported in tree.imports(module):
            if _package_of(imported.target) != HOUSE or imported.target == module.name:
                continue
            floor = _floor_of(_room_of(imported.target))
            if floor is None or floor > own:
                broken.append(f"{module.at(imported.line)} looks up to {imported.target}")
    return broken


def rooms_apart(tree: Tree) -> list[str]:
    """Rooms of floor 4 never import each other."""
    return [
        f"{module.at(imported.line)}: the room {module.room!r} reaches into {imported.target}"
        for module in tree.house()
        if FLOORS.get(module.room) == ROOMS_FLOOR
        for imported in tree.imports(module)
        if _package_of(imported.target) == HOUSE
        and FLOORS.get(_room_of(imported.target)) == ROOMS_FLOOR
        and _room_of(imported.target) != module.room
    ]


def import_cycles(tree: Tree) -> list[str]:
    """No module imports itself by way of others."""
    edges = {
        name: sorted({i.target for i in tree.imports(module)} & set(tree.modules) - {name})
        for name, module in tree.modules.items()
    }
    broken: list[str] = []
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        _follow(start, edges, path, done, broken)
    return broken


def _follow(
    name: str, edges: dict[str, list[str]], path: list[str], done: set[str], broken: list[str]
) -> None:
    if name in path:
        broken.append("cycle: " + " -> ".join([*path[path.index(name) :], name]))
        return
    if name in done:
        return
    path.append(name)
    for target in edges[name]:
        _follow(target, edges, path, done, broken)
    path.pop()
    done.add(name)


def late_imports(tree: Tree) -> list[str]:
    """First-party code is imported at the top of a file, never inside a function."""
    first_party = {HOUSE, *NEIGHBOURS}
    return [
        f"{module.at(imported.line)} imports {imported.target} inside a function"
        for module in tree.modules.values()
        for imported in tree.imports(module)
        if imported.in_function and _package_of(imported.target) in first_party
    ]


def neighbours(tree: Tree) -> list[str]:
    """Connectors see only the outside of the house; nothing imports the evals or the apps."""
    broken: list[str] = []
    for module in tree.modules.values():
        for imported in tree.imports(module):
            package, room = _package_of(imported.target), _room_of(imported.target)
            where = module.at(imported.line)
            if package in NEIGHBOURS and package != module.package:
                allowed = module.package == "ragstack_evals" or (
                    package == "ragstack_connectors" and module.package == "ragstack_apps"
                )
                if not allowed:
                    broken.append(f"{where} imports the neighbour {imported.target}")
            unseen = package == HOUSE and room not in SEEN_BY_CONNECTORS
            if unseen and module.package == "ragstack_connectors":
                broken.append(f"{where}: a connector reaches into {imported.target}")
    return broken


def one_home(tree: Tree) -> list[str]:
    """A vendor that belongs to one room is imported there alone."""
    return [
        f"{module.at(imported.line)}: only the room {ONE_HOME[vendor]!r} may know {vendor}"
        for module in tree.house()
        for imported in tree.imports(module)
        if (vendor := _package_of(imported.target)) in ONE_HOME and module.room != ONE_HOME[vendor]
    ]


def long_files(tree: Tree) -> list[str]:
    """A file has at most 400 lines."""
    return [
        f"{module.name} has {lines} lines, at most {MOST_LINES}"
        for module in tree.modules.values()
        if (lines := len(module.source.splitlines())) > MOST_LINES
    ]


_NO_ROOM = ("__future__", "typing")


def front_door(tree: Tree) -> list[str]:
    """The front door lists every public name it binds, sorted, at most 40 of them."""
    door = tree.modules[HOUSE]
    bound: set[str] = set()
    listed: list[str] = []
    for node in _bindings(door.code):
        match node:
            case ast.ImportFrom(module=origin, names=names) if origin not in _NO_ROOM:
                bound |= {alias.asname or alias.name for alias in names}
            case ast.Import(names=names):
                bound |= {(a.asname or a.name).partition(".")[0] for a in names}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                listed = list(ast.literal_eval(value))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                bound.add(name)
    public = {name for name in bound if not name.startswith("_")}
    broken = [f"the front door does not list {name!r}" for name in sorted(public - set(listed))]
    broken += [f"the front door lists {n!r}, not bound there" for n in listed if n not in bound]
    if listed != sorted(set(listed)):
        broken.append("__all__ of the front door is not sorted, or names one twice")
    if len(listed) > MOST_NAMES:
        broken.append(f"the front door shows {len(listed)} names, at most {MOST_NAMES}")
    return broken


def _bindings(code: ast.Module) -> Iterator[ast.stmt]:
    """Yield statements; what is imported for types alone, the front door delivers when asked."""
    for node in code.body:
        yield from node.body if isinstance(node, ast.If) else [node]


def docstrings(tree: Tree) -> list[str]:
    """Each module opens with a docstring."""
    return [
        f"{module.name} has no opening docstring"
        for module in tree.modules.values()
        if not ast.get_docstring(module.code)
    ]


def prints(tree: Tree) -> list[str]:
    """Only a command line prints."""
    return [
        f"{module.at(node.lineno)} prints"
        for module in tree.modules.values()
        if not module.name.startswith(f"{HOUSE}.cli")
        for node in ast.walk(module.code)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def logging_setup(tree: Tree) -> list[str]:
    """Importing a module never configures logging, and only the command line ever does."""
    broken: list[str] = []
    for module in tree.modules.values():
        for node, inside in _walk(module.code, in_function=False):
            if not isinstance(node, ast.Call) or _called(node) not in _LOGGING_SETUP:
                continue
            if not inside or not module.name.startswith(f"{HOUSE}.cli"):
                broken.append(f"{module.at(node.lineno)} configures logging: {_called(node)}")
    return broken


def vague_names(tree: Tree) -> list[str]:
    """Files and classes are named for what they do; a TODO carries its issue."""
    broken: list[str] = []
    for module in tree.modules.values():
        if module.path.name in _VAGUE_FILES:
            broken.append(f"{module.name}: name the file for what it does")
        for node in ast.walk(module.code):
            if isinstance(node, ast.ClassDef) and _VAGUE_CLASS.search(node.name):
                broken.append(f"{module.at(node.lineno)}: name {node.name} for what it does")
        for number, line in enumerate(module.source.splitlines(), 1):
            if _BARE_TODO.search(line):
                broken.append(f"{module.at(number)}: a TODO names its issue: TODO (#12)")
    return broken


RULES: tuple[Callable[[Tree], list[str]], ...] = (
    upward_imports,
    rooms_apart,
    import_cycles,
    late_imports,
    neighbours,
    one_home,
    long_files,
    front_door,
    docstrings,
    prints,
    logging_setup,
    vague_names,
)


def main() -> int:
    """Print what is broken in this repository."""
    tree = Tree.read(Path(__file__).resolve().parent.parent)
    broken = [f"{rule.__name__}: {line}" for rule in RULES for line in rule(tree)]
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
