"""A job at work: its place among the sequences, and what is still to be read for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ragstack.engine.images import Image
from ragstack.engine.jobs import Job

__all__ = ["Entry", "Totals"]


@dataclass(slots=True)
class Totals:
    """What was done since the start.

    Attributes:
        steps: Calls of the model.
        read: Prompt tokens read.
        cached: Prompt tokens that were not read again.
        written: Tokens of answers.
        guessed: Tokens guessed ahead; ``right`` of them were right.
        near_ties: Greedy tokens that another was nearly as good as.
        busy_s: Seconds inside the model.
        own_s: Seconds of choosing what goes into a step.
    """

    steps: int = 0
    read: int = 0
    cached: int = 0
    written: int = 0
    guessed: int = 0
    right: int = 0
    near_ties: int = 0
    busy_s: float = 0.0
    own_s: float = 0.0


@dataclass(eq=False, slots=True)
class Entry:
    """A job and its place.

    Attributes:
        done: Called once at the end, with what went wrong or None.
        wanted: Asked before each step; False ends it.
        alone: Runs with no other beside it, from an empty sequence, in steps of fixed size.
        background: Leaves one place to those that are not.
        adapter: Runs only beside jobs with the same.
        images: What is read in place of ids that are no words, in the order of the prompt.
    """

    job: Job
    done: Callable[[BaseException | None], None]
    wanted: Callable[[], bool] = lambda: True
    alone: bool = False
    background: bool = False
    adapter: str = ""
    images: tuple[Image, ...] = ()
    sequence: int = -1
    held: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    rows: int = 1  # logits wanted after the last so many of ``pending``
    apart: bool = False  # its sequence is not what was read: nobody may begin with it
    seen: int = 0  # rows of the image that comes next which its sequence holds already

    @property
    def writes(self) -> bool:
        """Whether its next step is a feed and no part of a prompt."""
        return len(self.pending) == self.rows

    @property
    def need(self) -> int:
        """Tokens its sequence may come to hold."""
        length = len(self.job.prompt)
        return self.rows_before(length) + self.job.most

    def rows_before(self, end: int) -> int:
        """Return how many rows of the cache the first ``end`` tokens of its prompt fill."""
        images = (image for image in self.images if image.at + len(image.ids) <= end)
        return end + sum(image.cells - len(image.ids) for image in images)

    @property
    def image(self) -> Image | None:
        """What is read next, where that is an image."""
        return next((image for image in self.images if image.at == len(self.held)), None)

    @property
    def text(self) -> int:
        """How many of the pending tokens are text, up to the next image."""
        held, pending = len(self.held), len(self.pending)
        return min((image.at - held for image in self.images if image.at >= held), default=pending)
