"""The code in, the generated pages of docs/reference out: commands, configuration, SDK, errors.

Sources are read and not imported, so that a page is the same with and without the extras; only the
command line is imported, because typer puts its options together. `--check` writes nothing and
fails where a page is out of date.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from ragstack import registry
from ragstack.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
NOTICE = "<!-- Written by scripts/make_docs.py from the code: run `make docs`, do not edit. -->\n"
PACKAGES = {"ragstack_connectors": "connectors", "ragstack_evals": "evals", "ragstack_apps": "apps"}
GIVEN = {
    "chunkers": "counter",
    "indexes": "folder embedder token_embedder sparse_embedder",
    "catalogs": "path",
    "rerankers": "embedder",
}
SECTIONS = {
    "catalog": "catalogs",
    "chunk": "chunkers",
    "embed": "embedders",
    "index": "indexes",
    "sparse": "sparse_embedders",
    "rerank": "rerankers",
    "generate": "generators",
    "transform": "transforms",
}
VALUES = (
    *("IngestReport", "Failure", "Passage", "Answer", "Citation", "Sentence", "Mark", "Usage"),
    *("Document", "DocumentInfo", "Chunk", "Turn", "Source", "Retrieved", "Delta", "TraceStep"),
)


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Return the text of every generated page by its path."""
    folder = root / "docs" / "reference"
    return {
        folder / "cli.md": NOTICE + cli_page(),
        folder / "config.md": NOTICE + config_page(root),
        folder / "sdk.md": NOTICE + sdk_page(root),
        folder / "errors.md": NOTICE + errors_page(root),
    }


# The command line


def cli_page() -> str:
    """Return the page on commands and their options."""
    lines = [
        "# Command line",
        "",
        "Exit codes: 0 all is well, 1 something failed, 2 the command was used wrongly.",
    ]
    for words, command in commands():
        lines += ["", f"## {' '.join(words)}", "", f"{_text(command.help)}", ""]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join([*words, *(_metavar(p) for p in arguments), "[OPTIONS]"])
        lines += ["```text", usage, "```", ""]
        rows = [row for p in command.params if not getattr(p, "hidden", False) and (row := _row(p))]
        if rows:
            lines += ["| | | Default |", "|---|---|---|", *rows]
    return "\n".join(lines).rstrip() + "\n"


def commands() -> Iterator[tuple[list[str], Any]]:
    """Yield each command that does something, with the words that call it."""
    yield from _below(["ragstack"], typer.main.get_command(app))


def _below(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name in sorted(command.commands):
        yield from _below([*words, name], command.commands[name])


def _metavar(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper())
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _row(parameter: Any) -> str:
    if "--help" in parameter.opts or "--install-completion" in parameter.opts:
        return ""
    if "--show-completion" in parameter.opts:
        return ""
    if parameter.param_type_name == "argument":
        names = f"`{_metavar(parameter)}`"
    else:
        value = "" if parameter.is_flag else f" {_kind(parameter)}"
        names = ", ".join(f"`{option}{value}`" for option in parameter.opts)
    default = parameter.default
    plain = default is None or callable(default) or default is False or default == ()
    shown = "" if plain or parameter.required else f"`{default}`"
    return f"| {names} | {_cell(getattr(parameter, 'help', '') or '')} | {shown} |"


def _kind(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    described = getattr(parameter, "type_descriptor", None)
    name = getattr(getattr(described, "annotation", str), "__name__", "text")
    return {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "Path": "PATH"}.get(name, "TEXT")


# Configuration


def config_page(root: Path) -> str:
    """Return the page on ragstack.toml."""
    tree = _parsed(root, "ragstack.config")
    sections = _classes(tree)
    lines = [
        "# Configuration",
        "",
        "Keys of `ragstack.toml`; in the environment, `RAGSTACK_SECTION__KEY`. Order: what a",
        "program passes, the environment, the file, the default. An unknown key is refused.",
    ]
    for field in _fields(sections["Config"]):
        name = str(field["name"])
        if name in SECTIONS:
            lines += _plugin_section(root, name, str(field["default"]))
            continue
        if name == "generators":
            lines += [
                "",
                "## [generators.NAME]",
                "",
                "A generator by a name of your own, which the",
            ]
            lines += ["transform `route` can choose: `use` and options as under `[generate]`."]
            continue
        if name == "sync":
            lines += [
                "",
                "## [sync.NAME]",
                "",
                "A place by a name of your own, for `ragstack sync`.",
            ]
            lines += ["Keys of each: `use`, `collection`, `readers`, `meta`, `every`; see"]
            lines += ["[the guide](../guides/connectors.md). The others are the connector's."]
            for each in registry.TABLE["connectors"]:
                lines += _made(root, "sync", each)
            continue
        if name == "serve":
            lines += _serve_sections(root)
            continue
        settings = sections[f"{name.capitalize()}Config"]
        lines += ["", f"## [{name}]", "", _text(ast.get_docstring(settings)), ""]
        lines += _table(_fields(settings))
    return "\n".join(lines) + "\n"


def _serve_sections(root: Path) -> list[str]:
    made = _classes(_parsed(root, "ragstack_apps.accounts.settings"))
    tables = {"serve": "ServeSettings", "serve.oidc": "OidcSettings"}
    tables |= {"serve.retain": "RetainSettings", "serve.telemetry": "TelemetrySettings"}
    lines: list[str] = []
    for table, name in tables.items():
        lines += ["", f"## [{table}]", "", _text(ast.get_docstring(made[name])), ""]
        own = [field for field in _fields(made[name]) if f"serve.{field['name']}" not in tables]
        lines += _table(own)
    return lines


def _plugin_section(root: Path, section: str, default: str) -> list[str]:
    kind = SECTIONS[section]
    lines: list[str] = []
    if section == "transform":
        lines += [
            "",
            "## [transform.NAME]",
            "",
            "Options of a transform; `retrieve.transforms` names",
        ]
        lines += ["those in force, and so does a call. There is no `use`."]
    elif section == "index":
        lines += ["", "## [index.SLOT]", "", "The slots `lexical` and `vector` stand by default."]
        default = "`bm25` in `lexical`, `faiss` in `vector`"
    else:
        found = re.search(r"Plugin\('([^']+)'", default)
        lines += ["", f"## [{section}]"]
        default = f"`{found[1]}`" if found else "none"
    if section != "transform":
        lines += ["", f"`use` names one of these; the default is {default}."]
    for name in registry.TABLE[kind]:
        lines += _made(root, section, name)
    return lines


def _made(root: Path, section: str, name: str) -> list[str]:
    """Return the lines on one plug-in: what it is, and its options."""
    kind = SECTIONS.get(section, "connectors")
    module, _, attribute = registry.TABLE[kind][name].partition(":")
    tree = _parsed(root, module)
    made = _classes(tree)[attribute]
    constants = {**_constants(_parsed(root, "ragstack.models.table")), **_constants(tree)}
    options = [
        {
            **row,
            "default": constants.get(row["default"].removeprefix("models."), row["default"]),
        }
        for row in _options(made, kind)
    ]
    table = _table(options) if options else ["It has no options."]
    return ["", f"### {section}: {name}", "", _summary(made), "", *table]


def _options(made: ast.ClassDef, kind: str) -> list[dict[str, str]]:
    methods = [node for node in made.body if isinstance(node, ast.FunctionDef)]
    init = next((method for method in methods if method.name == "__init__"), None)
    given = (*GIVEN.get(kind, "").split(), "progress", "table")
    if init is None:
        is_data = any("dataclass" in ast.unparse(mark) for mark in made.decorator_list)
        return [f for f in _fields(made) if f["name"] not in given] if is_data else []
    notes = {**_notes(made, "Args"), **_notes(made, "Attributes"), **_notes(init, "Args")}
    return [
        {"name": name, "type": kind_of, "default": default, "note": notes.get(name, "")}
        for name, kind_of, default in _arguments(init)
        if name not in given
    ]


def _arguments(function: ast.FunctionDef) -> Iterator[tuple[str, str, str]]:
    taken = function.args
    first = [*taken.posonlyargs, *taken.args]
    gap: list[ast.expr | None] = [None] * (len(first) - len(taken.defaults))
    pairs = [*zip(first, [*gap, *taken.defaults], strict=True)]
    pairs += [*zip(taken.kwonlyargs, taken.kw_defaults, strict=True)]
    for argument, default in pairs:
        if argument.arg in ("self", "cls"):
            continue
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        yield argument.arg, annotation, "" if default is None else ast.unparse(default)


# The SDK


def sdk_page(root: Path) -> str:
    """Return the page on Stack, Chat and the values they return."""
    lines = ["# SDK", "", "`from ragstack import Stack`. The values live in `ragstack.types`."]
    for name, module in (("Stack", "ragstack.pipeline.stack"), ("Chat", "ragstack.pipeline.chat")):
        made = _classes(_parsed(root, module))[name]
        lines += ["", f"## {name}", "", _text(ast.get_docstring(made))]
        for method in made.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                lines += ["", f"### {name}.{method.name}", "", "```text", _signature(method), "```"]
                lines += ["", _text(ast.get_docstring(method))]
    values = {
        class_name: node
        for path in sorted((root / "ragstack" / "types").glob("*.py"))
        for class_name, node in _classes(ast.parse(path.read_text(encoding="utf-8"))).items()
    }
    for name in VALUES:
        lines += ["", f"## {name}", "", _summary(values[name]), "", *_table(_fields(values[name]))]
    return "\n".join(lines) + "\n"


def _signature(method: ast.FunctionDef) -> str:
    arguments = ast.unparse(method.args)
    arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    returned = f" -> {ast.unparse(method.returns)}" if method.returns else ""
    return f"{method.name}({arguments}){returned}"


# Errors


def errors_page(root: Path) -> str:
    """Return the page on errors."""
    tree = _parsed(root, "ragstack.errors")
    lines = [
        "# Errors",
        "",
        "All are in `ragstack.errors`. Each has `message`, `hint` and `retryable`.",
        "",
        "```text",
        (ast.get_docstring(tree) or "").partition("\n\n")[2],
        "```",
    ]
    return "\n".join(lines) + "\n"


# Reading sources


def _parsed(root: Path, module: str) -> ast.Module:
    place = root / PACKAGES.get(module.partition(".")[0], "") / module.replace(".", "/")
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the constants of a module that are written out, as source."""
    return {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(made: ast.ClassDef) -> list[dict[str, str]]:
    notes = {**_notes(made, "Attributes"), **_notes(made, "Args")}
    return [
        {
            "name": node.target.id,
            "type": ast.unparse(node.annotation),
            "default": _default(node.value),
            "note": notes.get(node.target.id, ""),
        }
        for node in made.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if not node.target.id.startswith("_")
    ]


def _default(value: ast.expr | None) -> str:
    text = ast.unparse(value) if value is not None else ""
    if found := re.search(r"default_factory=(?:lambda: )?(.*?)(?:, repr=False)?\)$", text):
        return {"dict": "{}", "list": "[]"}.get(found[1], found[1])
    return "" if text == "field(repr=False)" else text


def _notes(node: ast.ClassDef | ast.FunctionDef, section: str) -> dict[str, str]:
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


def _table(rows: list[dict[str, str]]) -> list[str]:
    lines = ["| Name | Type | Default | |", "|---|---|---|---|"]
    for row in rows:
        default = f"`{row['default']}`" if row["default"] else ""
        kind = row["type"].replace("|", "\\|")
        lines.append(f"| `{row['name']}` | `{kind}` | {_cell(default)} | {_cell(row['note'])} |")
    return lines


def _summary(made: ast.ClassDef) -> str:
    return _text(ast.get_docstring(made)).partition("\n\n")[0]


def _text(docstring: str | None) -> str:
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


def _cell(text: str) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with --check only compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(arguments).check
    stale = [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
