"""Source files in, what their classes and docstrings say out, as pieces of Markdown.

They are read and not imported. Knows no page.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ragstack.types.ranges import Range

PACKAGES = {"ragstack_connectors": "connectors", "ragstack_evals": "evals", "ragstack_apps": "apps"}


def parsed(root: Path, module: str) -> ast.Module:
    """Return the tree of a module or package of the repository."""
    place = root / PACKAGES.get(module.partition(".")[0], "") / module.replace(".", "/")
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def constants_of(tree: ast.Module) -> dict[str, str]:
    """Return the constants of a module that are written out, as source."""
    return {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def classes_of(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the classes of a module by name."""
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def fields_of(made: ast.ClassDef) -> list[dict[str, str]]:
    """Return the public fields of a dataclass: name, type, default and note."""
    notes = {**notes_of(made, "Attributes"), **notes_of(made, "Args")}
    return [
        {
            "name": node.target.id,
            "type": _type_of(node.annotation),
            "default": _default(node.value),
            "note": notes.get(node.target.id, ""),
        }
        for node in made.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if not node.target.id.startswith("_")
    ]


def _type_of(annotation: ast.expr) -> str:
    """Return a type, and what numbers it may be: ``int, 0 or more``."""
    if not (isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated"):
        return ast.unparse(annotation)
    kind, *notes = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else []
    ranges = [
        Range(**{end.arg: ast.literal_eval(end.value) for end in note.keywords if end.arg})
        for note in notes
        if isinstance(note, ast.Call) and ast.unparse(note.func) == Range.__name__
    ]
    return ", ".join([ast.unparse(kind), *map(str, ranges)])


def _default(value: ast.expr | None) -> str:
    text = ast.unparse(value) if value is not None else ""
    if found := re.search(r"default_factory=(?:lambda: )?(.*?)(?:, repr=False)?\)$", text):
        return {"dict": "{}", "list": "[]"}.get(found[1], found[1])
    return "" if text == "field(repr=False)" else text


def notes_of(node: ast.ClassDef | ast.FunctionDef, section: str) -> dict[str, str]:
    """Return what a Google docstring says of each name in a section."""
    found = re.search(rf"^{section}:\n((?:[ ]{{4}}.*\n?|\n)+)", ast.get_docstring(node) or "", re.M)
    notes: dict[str, str] = {}
    name = ""
    for line in found[1].splitlines() if found else []:
        if entry := re.match(r"^ {4}(\w+)(?: \([^)]*\))?: (.*)", line):
            name = entry[1]
            notes[name] = entry[2]
        elif name and line.strip():
            notes[name] += f" {line.strip()}"
    return notes


def table_of(rows: list[dict[str, str]]) -> list[str]:
    """Return rows of fields as lines of a table."""
    lines = ["| Name | Type | Default | |", "|---|---|---|---|"]
    for row in rows:
        default = f"`{row['default']}`" if row["default"] else ""
        kind = row["type"].replace("|", "\\|")
        lines.append(f"| `{row['name']}` | `{kind}` | {cell(default)} | {cell(row['note'])} |")
    return lines


def summary_of(made: ast.ClassDef) -> str:
    """Return the first paragraph of what a class says of itself."""
    return markdown_of(ast.get_docstring(made)).partition("\n\n")[0]


def markdown_of(docstring: str | None) -> str:
    """Return a docstring as Markdown: sections as lists, examples as text."""
    text = re.sub(r"``([^`]+)``", r"`\1`", (docstring or "").strip())
    text = re.sub(r"\n*^Attributes:\n(?:[ ]{4}.*\n?|\n)+", "\n", text, flags=re.M).strip()
    text = re.sub(r"^(Args|Raises):\n", r"\1:\n\n", text, flags=re.M)
    text = re.sub(r"^Example:\n((?:[ ]{4}.*\n?)+)", _example, text, flags=re.M)
    text = re.sub(r"^ {4}(\w+): ", r"- `\1`: ", text, flags=re.M)
    return re.sub(r"^ {8}(?=\S)", "  ", text, flags=re.M)


def _example(found: re.Match[str]) -> str:
    lines = [re.sub(r"^ {4}(>>> |\.\.\. )?", "", line) for line in found[1].splitlines()]
    return "\n".join(["```text", *lines, "```"])


def cell(text: str) -> str:
    """Return a text as it stands in a cell of a table."""
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("|", "\\|")
