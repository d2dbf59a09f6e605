"""Builds of llama.cpp for several processors, and which of them this one runs best.

An image is compiled once and runs on many processors. So beside what llama.cpp's package holds it
may carry builds for newer ones in ``lib/llama.cpp`` of its environment, each in a folder named by
what a processor must have: ``avx512f+avx512_vnni``, as ``/proc/cpuinfo`` spells it. Loads nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Set
from pathlib import Path

__all__ = ["best_build", "builds_folder"]

_LIBRARY = "libllama.so"


def builds_folder() -> Path:
    """Return where builds for several processors lie; most environments have none."""
    return Path(sys.prefix) / "lib" / "llama.cpp"


def best_build(folder: Path, features: Set[str]) -> Path | None:
    """Return the build that asks most of a processor and not more than it has, None for none.

    Args:
        folder: Builds, a folder each.
        features: What the processor has, as `machine.processor_features` tells.
    """
    fitting = [
        (len(needed), file.parent)
        for file in folder.glob(f"*/{_LIBRARY}")
        if (needed := frozenset(file.parent.name.split("+"))) <= features
    ]
    return max(fitting, default=(0, None))[1]
