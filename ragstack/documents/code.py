"""Source code in, the decoded file itself out, with its language and its definitions marked."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ragstack.documents.build import build
from ragstack.documents.decode import decode
from ragstack.documents.limits import Limits, check_bytes
from ragstack.types import Document, Mark

__all__ = ["CodeLoader", "code_language"]

_LANGUAGES = {
    "python": "py pyi pyw", "javascript": "js mjs cjs jsx", "typescript": "ts tsx mts cts",
    "java": "java", "kotlin": "kt kts", "scala": "scala sc", "groovy": "groovy gradle",
    "c": "c h", "cpp": "cpp cc cxx hpp hh hxx", "csharp": "cs", "go": "go", "rust": "rs",
    "swift": "swift", "objectivec": "m mm", "ruby": "rb", "php": "php", "perl": "pl pm",
    "lua": "lua", "r": "r", "julia": "jl", "shell": "sh bash zsh fish", "powershell": "ps1 psm1",
    "sql": "sql", "haskell": "hs", "ocaml": "ml mli", "elixir": "ex exs", "erlang": "erl hrl",
    "clojure": "clj cljs cljc", "dart": "dart", "zig": "zig", "nim": "nim", "fortran": "f90 f95 f",
    "vue": "vue", "svelte": "svelte", "css": "css scss sass less", "dockerfile": "dockerfile",
    "makefile": "mk makefile", "cmake": "cmake", "toml": "toml", "yaml": "yaml yml",
    "ini": "ini cfg conf properties", "protobuf": "proto", "graphql": "graphql gql",
    "terraform": "tf tfvars", "assembly": "asm s", "cuda": "cu cuh", "cypher": "cypher cql",
}  # fmt: skip
_BY_SUFFIX = {suffix: name for name, suffixes in _LANGUAGES.items() for suffix in suffixes.split()}
_SHEBANG = re.compile(r"#![^\n]*?\b(python|node|bash|zsh|fish|sh|perl|ruby|lua|php|Rscript|deno)")
_INTERPRETERS = {
    "node": "javascript", "deno": "typescript", "bash": "shell", "zsh": "shell", "fish": "shell",
    "sh": "shell", "Rscript": "r",
}  # fmt: skip

_NAME = r"([A-Za-z_$][\w$]*)"
_MODIFIERS = r"(?:(?:public|private|protected|internal|static|final|abstract|sealed|open|override"
_MODIFIERS += r"|virtual|async|export|default|pub(?:\([a-z ]+\))?|unsafe|const|inline|data|partial"
_MODIFIERS += r"|declare|extern|implicit|case|synchronized|suspend)\s+)*"
_BRACES = (
    rf"^\s{{0,8}}{_MODIFIERS}(?:class|interface|enum|struct|trait|impl|record|object|namespace"
    rf"|module|protocol|extension|function\*?|func|fn|fun|type|union|mod|actor)\s+{_NAME}"
)
_C_FUNCTION = (
    rf"^(?!\s|return\b|else\b|typedef\b)[\w:<>,&*\s]{{1,80}}?[\s*&]{_NAME}"
    r"\s*\([^;\n]{0,200}\)?\s*\{?\s*$"
)
_PATTERNS = {
    "python": rf"^([ ]{{0,4}})(?:async\s+)?(?:def|class)\s+{_NAME}",
    "ruby": rf"^\s{{0,4}}(?:def|class|module)\s+(?:self\.)?{_NAME}",
    "shell": rf"^(?:function\s+)?{_NAME}\s*\(\)",
    "sql": (
        r"^\s{0,4}(?i:create)\s+(?i:or\s+replace\s+)?\w+\s+(?i:if\s+not\s+exists\s+)?"
        r"([\w.\"`]+)"
    ),
    "c": _C_FUNCTION + "|" + _BRACES,
    "go": rf"^(?:func\s+(?:\([^)\n]{{0,80}}\)\s*)?|type\s+){_NAME}",
    "perl": rf"^\s{{0,4}}(?:sub|package)\s+{_NAME}",
    "lua": r"^(?:local\s+)?function\s+([\w.:]+)",
    "r": r"^([\w.]+)\s*(?:<-|=)\s*function\b",
    "julia": rf"^(?:function|struct|mutable struct|module|macro)\s+{_NAME}",
    "haskell": r"^([a-z]\w*)\s*::|^(?:data|newtype|class|type)\s+([A-Z]\w*)",
    "elixir": r"^\s{0,4}(?:defmodule|def|defp|defmacro)\s+([\w.!?]+)",
    "makefile": r"^([\w./-]+):(?!=)",
    "toml": r"^\[+([^\]\n]+)\]+",
    "ini": r"^\[([^\]\n]+)\]",
    "yaml": r"^([A-Za-z_][\w-]*):",
    "cuda": _C_FUNCTION + "|" + _BRACES,
    "dockerfile": r"^(FROM\s+\S+[^\n]*)",
}
_PATTERNS["cpp"] = _PATTERNS["c"]
_UNMARKED = frozenset(["css", "assembly", "fortran", "graphql", "cypher"])
_MAX_MARKS = 5_000
_MAX_LINE = 400


class CodeLoader:
    """Reads source code; ``meta["code_language"]`` names what it is written in."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        text = decode(data, source=source)
        language = code_language(source, text[:200]) or "unknown"
        meta = {"title": PurePosixPath(source).name, "type": "code", "code_language": language}
        return build(text, source=source, meta=meta, marks=_definitions(text, language))


def code_language(name: str, start: str) -> str | None:
    """Return the language that a file name, or the first line of the text, says."""
    path = PurePosixPath(name.lower().replace("\\", "/"))
    suffix = path.suffix.removeprefix(".") or path.name
    found = _SHEBANG.match(start)
    if found:
        return _INTERPRETERS.get(found[1], found[1].lower())
    if start.lstrip().startswith("<?php"):
        return "php"
    return _BY_SUFFIX.get(suffix)


def _definitions(text: str, language: str) -> list[Mark]:
    if language in _UNMARKED:
        return []
    pattern = re.compile(_PATTERNS.get(language, _BRACES))
    marks: list[Mark] = []
    start = 0
    while start < len(text) and len(marks) < _MAX_MARKS:
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start : min(end, start + _MAX_LINE)]
        found = pattern.match(line)
        name = (
            next((group for group in found.groups() if group and group.strip()), "")
            if found
            else ""
        )
        if name:
            level = 1 if line[:1].strip() else 2
            stop = start + len(line.rstrip())
            marks.append(Mark("heading", start, stop, label=name[:200], level=level))
        start = end + 1
    return marks
