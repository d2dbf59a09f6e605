"""What was done for a question, step by step, as a person can follow it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ragstack.types.generation import Usage

__all__ = ["TraceStep"]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step between a question and its passages or answer.

    Attributes:
        name: The transform's name, or ``search``, ``fuse``, ``cache``, ``answer``.
        produced: What it made, a line each: queries, a condition, a verdict, what it left out.
        seconds: Wall-clock time.
        usage: What the generator took for it; zeros where none was asked.
    """

    name: str
    produced: tuple[str, ...] = ()
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
