"""What a chunker has spent on lines of context in, a line that a person reads out."""

from __future__ import annotations

from ragstack.chunking.spending import Spent
from ragstack.generate.prices import cost
from ragstack.protocols import Chunker

__all__ = ["spent_by", "told"]


def spent_by(chunker: Chunker) -> Spent:
    """Return what a chunker has spent so far; most spend nothing."""
    found = getattr(chunker, "spent", None)
    return found if isinstance(found, Spent) else Spent()


def told(spent: Spent) -> tuple[str, ...]:
    """Return what was spent in words, money too where a price is known; nothing for nothing."""
    if not (spent.written or spent.reused or spent.failed):
        return ()
    usage = spent.usage
    parts = [
        f"contexts: {spent.written} written by {spent.model}, {spent.reused} from before",
        f"{usage.prompt_tokens:,} tokens read, {usage.answer_tokens:,} written",
        f"{usage.seconds:.0f} s",
    ]
    if spent.failed:
        parts.append(f"{spent.failed} did not fit and have their headings")
    money = cost(spent.model, usage)
    if money is not None:
        parts.append(str(money))
    return ("; ".join(parts),)
