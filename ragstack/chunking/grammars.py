"""The name of a language and code in, its syntax tree out. The one place that knows tree-sitter.

Each grammar is a package of its own, compiled in its wheel: nothing is fetched when one is used.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any

__all__ = ["LANGUAGES", "installed", "parse"]

LANGUAGES: dict[str, tuple[str, str]] = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_tsx"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "cuda": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "shell": ("tree_sitter_bash", "language"),
}
"""Languages that are parsed, by the names the code loader gives: package and function of each."""

_PACKAGE = "tree_sitter"


def installed() -> bool:
    """Return whether tree-sitter is there."""
    return importlib.util.find_spec(_PACKAGE) is not None


def parse(code: bytes, language: str) -> Any | None:
    """Return the syntax tree of UTF-8 code, or None for a language without a grammar here.

    Broken code has a tree too, with errors in it.
    """
    grammar = _grammar(language)
    return (
        None if grammar is None else importlib.import_module(_PACKAGE).Parser(grammar).parse(code)
    )


@cache
def _grammar(language: str) -> Any | None:
    if language not in LANGUAGES or not installed():
        return None
    package, function = LANGUAGES[language]
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError:
        return None
    return importlib.import_module(_PACKAGE).Language(getattr(module, function)())
