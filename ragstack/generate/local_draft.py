"""The name of a draft model in, its file, its memory and its place beside an engine out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ragstack import models
from ragstack.engine import gguf, memory
from ragstack.engine.costs import Costs
from ragstack.engine.draft_model import DraftOptions
from ragstack.engine.draft_stream import foretold
from ragstack.engine.engine import Engine
from ragstack.engine.library import library_file
from ragstack.engine.machine import physical_cores
from ragstack.engine.memory import Window
from ragstack.engine.probe import check_loads
from ragstack.engine.tools import tune
from ragstack.errors import NotEnoughSpace
from ragstack.models.places import cache_folder

__all__ = ["Draft", "costs_file"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft model, before it is loaded.

    Attributes:
        threads: 0 is one for each physical core.
    """

    name: str
    header: gguf.Header
    threads: int

    @classmethod
    def named(cls, name: str) -> Draft:
        """Find a model by its name or path.

        Raises:
            UnknownModel: No model has the name.
            ModelUnavailable: It is not on this machine.
            ModelError: Its file is broken.
        """
        path = models.path(name)
        tuning = tune.chosen(path)
        header = gguf.read_header(tuning.path if tuning else path)
        return cls(name, header, tuning.threads if tuning else 0)

    def memory(self, size: int, *, windows: int) -> int:
        """Return the bytes that it takes beside the model, for windows of so many tokens."""
        size = min(size, self.header.context_length or size)
        return memory.need(self.header, Window(size, windows, outputs=16)).total

    def check_memory(self, header: gguf.Header, window: Window) -> None:
        """Refuse a model that has no room beside its draft.

        Raises:
            NotEnoughSpace: Says what both take.
        """
        beside = self.memory(window.context, windows=1)
        try:
            memory.check_memory(header, window, beside=beside)
        except NotEnoughSpace as error:
            raise NotEnoughSpace(
                f"{error.message} beside the {beside / 1e6:,.0f} MB of its draft model "
                f"{self.name!r}",
                hint=f"leave out the draft model; or: {error.hint}",
            ) from error

    def join(self, engine: Engine, *, gpu_layers: int) -> None:
        """Load it beside an engine, which is closed if it cannot be used.

        Raises:
            InputError: Its vocabulary is another.
            ModelError: Its file cannot be used.
        """
        path = self.header.path
        try:
            models.try_once(path, partial(check_loads, path), beside=library_file())
            engine.draft_with(
                DraftOptions(path, self.threads, gpu_layers, costs_file(path, self.threads))
            )
        except BaseException:
            engine.close()
            raise

    def foretold(self, costs: Path) -> str:
        """Return in words whether it will pay, by what was measured before.

        Args:
            costs: What the steps of the model were measured to cost.
        """
        return foretold(Costs(costs), Costs(costs_file(self.header.path, self.threads)))


def costs_file(path: Path, threads: int) -> Path:
    """Return where it is kept what steps of a model cost, by what that depends on."""
    build = library_file().stat().st_size  # another build's kernels take another time
    name = f"{path.stem}-{path.stat().st_size}-{threads or physical_cores()}-{build}.json"
    return cache_folder() / "engine" / name
