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

from docs_sources import (
    cell,
    classes_of,
    constants_of,
    fields_of,
    markdown_of,
    notes_of,
    parsed,
    summary_of,
    table_of,
)
from ragstack import registry
from ragstack.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
NOTICE = "<!-- Written by scripts/make_docs.py from the code: run `make docs`, do not edit. -->\n"
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
        lines += ["", f"## {' '.join(words)}", "", f"{markdown_of(command.help)}", ""]
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
    return f"| {names} | {cell(getattr(parameter, 'help', '') or '')} | {shown} |"


def _kind(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    described = getattr(parameter, "type_descriptor", None)
    name = getattr(getattr(described, "annotation", str), "__name__", "text")
    return {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "Path": "PATH"}.get(name, "TEXT")


# Configuration


def config_page(root: Path) -> str:
    """Return the page on ragstack.toml."""
    tree = parsed(root, "ragstack.config")
    sections = classes_of(tree)
    lines = [
        "# Configuration",
        "",
        "Keys of `ragstack.toml`; in the environment, `RAGSTACK_SECTION__KEY`. Order: what a",
        "program passes, the environment, the file, the default. An unknown key is refused.",
    ]
    for field in fields_of(sections["Config"]):
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
        lines += ["", f"## [{name}]", "", markdown_of(ast.get_docstring(settings)), ""]
        lines += table_of(fields_of(settings))
    return "\n".join(lines) + "\n"


def _serve_sections(root: Path) -> list[str]:
    made = classes_of(parsed(root, "ragstack_apps.accounts.settings"))
    tables = {"serve": "ServeSettings", "serve.oidc": "OidcSettings"}
    tables |= {"serve.retain": "RetainSettings", "serve.telemetry": "TelemetrySettings"}
    lines: list[str] = []
    for table, name in tables.items():
        lines += ["", f"## [{table}]", "", markdown_of(ast.get_docstring(made[name])), ""]
        own = [field for field in fields_of(made[name]) if f"serve.{field['name']}" not in tables]
        lines += table_of(own)
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
    tree = parsed(root, module)
    made = classes_of(tree)[attribute]
    constants = {**constants_of(parsed(root, "ragstack.models.table")), **constants_of(tree)}
    options = [
        {
            **row,
            "default": constants.get(row["default"].removeprefix("models."), row["default"]),
        }
        for row in _options(made, kind)
    ]
    table = table_of(options) if options else ["It has no options."]
    return ["", f"### {section}: {name}", "", summary_of(made), "", *table]


def _options(made: ast.ClassDef, kind: str) -> list[dict[str, str]]:
    methods = [node for node in made.body if isinstance(node, ast.FunctionDef)]
    init = next((method for method in methods if method.name == "__init__"), None)
    given = (*GIVEN.get(kind, "").split(), "progress", "table")
    if init is None:
        is_data = any("dataclass" in ast.unparse(mark) for mark in made.decorator_list)
        return [f for f in fields_of(made) if f["name"] not in given] if is_data else []
    notes = {**notes_of(made, "Args"), **notes_of(made, "Attributes"), **notes_of(init, "Args")}
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
        made = classes_of(parsed(root, module))[name]
        lines += ["", f"## {name}", "", markdown_of(ast.get_docstring(made))]
        for method in made.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                lines += ["", f"### {name}.{method.name}", "", "```text", _signature(method), "```"]
                lines += ["", markdown_of(ast.get_docstring(method))]
    values = {
        class_name: node
        for path in sorted((root / "ragstack" / "types").glob("*.py"))
        for class_name, node in classes_of(ast.parse(path.read_text(encoding="utf-8"))).items()
    }
    for name in VALUES:
        lines += [
            "",
            f"## {name}",
            "",
            summary_of(values[name]),
            "",
            *table_of(fields_of(values[name])),
        ]
    return "\n".join(lines) + "\n"


def _signature(method: ast.FunctionDef) -> str:
    arguments = ast.unparse(method.args)
    arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    returned = f" -> {ast.unparse(method.returns)}" if method.returns else ""
    return f"{method.name}({arguments}){returned}"


# Errors


def errors_page(root: Path) -> str:
    """Return the page on errors."""
    tree = parsed(root, "ragstack.errors")
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
