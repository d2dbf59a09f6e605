"""A configured reranker in, the reranker out, given what it takes and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ragstack import registry
from ragstack.config import Plugin

__all__ = ["make_reranker"]


def make_reranker(plugin: Plugin, makers: Mapping[str, Callable[[], object]]) -> Any:
    """Return the reranker; of ``makers`` only those are called whose part it takes.

    So a search that needs no generator loads none.
    """
    takes = _taken(plugin.use, plugin.options)
    given = {name: make() for name, make in makers.items() if name in takes}
    return registry.create("rerankers", plugin.use, plugin.options, **given)


def _taken(use: str, options: Mapping[str, Any]) -> set[str]:
    """Return what a reranker takes; one of several stages takes what any of these does."""
    takes = set(registry.options_of(registry.load("rerankers", use)))
    stages = options.get("stages")
    if not isinstance(stages, list):
        return takes
    named = [stage["use"] for stage in stages if isinstance(stage, dict) and "use" in stage]
    return takes & {option for name in named for option in _taken(name, {})}
