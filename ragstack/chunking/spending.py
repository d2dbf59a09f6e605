"""What lines of context took: a sum that a chunker keeps and a person is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from ragstack.types import Usage

__all__ = ["Spent"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What lines of context have cost so far.

    Attributes:
        written: Lines that the generator wrote.
        reused: Lines that were there from before.
        failed: Chunks whose prompt did not fit the generator; they have their headings.
        usage: What the written ones took.
        model: The generator's name.
    """

    written: int = 0
    reused: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    model: str = ""

    def since(self, before: Spent) -> Spent:
        """Return what was spent after an earlier count of the same chunker."""
        used, then = self.usage, before.usage
        return Spent(
            self.written - before.written,
            self.reused - before.reused,
            self.failed - before.failed,
            Usage(
                used.prompt_tokens - then.prompt_tokens,
                used.cached_tokens - then.cached_tokens,
                used.answer_tokens - then.answer_tokens,
                used.seconds - then.seconds,
            ),
            self.model,
        )
