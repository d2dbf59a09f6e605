"""The plan of the house as checks: a source tree in, broken rules out, one line each.

Every rule is a function of a Tree, so that tests can show each one a small bad house. It reads
sources and imports nothing of ragstack. Run it alone: python scripts/architecture.py
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from source_tree import FLOORS, HOUSE, NEIGHBOURS, Tree, called, package_of, room_of, walk

ROOMS_FLOOR = 4
FRONT_DOOR_FLOOR = 6  # what the door shows: the pipeline, the agents and below
SEEN_BY_CONNECTORS = ("", "protocols", "types", "errors", "testing")
ONE_HOME = {"llama_cpp": "engine"}  # a vendor that one room alone may know
MOST_LINES = 400
MOST_NAMES = 40
_VAGUE_FILES = {"utils.py", "common.py", "helpers.py", "misc.py"}
_VAGUE_CLASS = re.compile(r"(Manager|Helper|Util|Utils)$")
_BARE_TODO = re.compile(r"#\s*(TODO|FIXME|XXX)(?!\s*\(#\d+\))")
_LOGGING_SETUP = {"basicConfig", "dictConfig", "fileConfig", "addHandler", "setLevel", "disable"}


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
            if package_of(imported.target) != HOUSE or imported.target == module.name:
                continue
            floor = _floor_of(room_of(imported.target))
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
        if package_of(imported.target) == HOUSE
        and FLOORS.get(room_of(imported.target)) == ROOMS_FLOOR
        and room_of(imported.target) != module.room
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
        if imported.in_function and package_of(imported.target) in first_party
    ]


def neighbours(tree: Tree) -> list[str]:
    """Connectors see only the outside of the house; nothing imports the evals or the apps."""
    broken: list[str] = []
    for module in tree.modules.values():
        for imported in tree.imports(module):
            package, room = package_of(imported.target), room_of(imported.target)
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
        if (vendor := package_of(imported.target)) in ONE_HOME and module.room != ONE_HOME[vendor]
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
        for node, inside in walk(module.code, in_function=False):
            if not isinstance(node, ast.Call) or called(node) not in _LOGGING_SETUP:
                continue
            if not inside or not module.name.startswith(f"{HOUSE}.cli"):
                broken.append(f"{module.at(node.lineno)} configures logging: {called(node)}")
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
