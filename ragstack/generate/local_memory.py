"""A model and its options in, as many windows as the machine has room for out."""

from __future__ import annotations

from dataclasses import replace

from ragstack.engine import gguf
from ragstack.engine.context import Options
from ragstack.engine.memory import Window, check_memory
from ragstack.errors import NotEnoughSpace
from ragstack.generate.local_draft import Draft

__all__ = ["sized"]


def sized(header: gguf.Header, options: Options, draft: Draft | None) -> Options:
    """Return the options with room for two windows, or for one where memory is short.

    Raises:
        NotEnoughSpace: Not even one fits.
    """
    window = Window(
        options.size,
        cache_type=options.cache_type,
        full_window=options.full_window,
        sequences=options.streams + options.kept,
    )
    try:
        if options.streams > 1:
            beside = draft.memory(options.size, windows=2) if draft else 0
            check_memory(header, replace(window, streams=2), beside=beside)
            return replace(options, cells=2 * options.size)
    except NotEnoughSpace:
        pass
    if draft is None:
        check_memory(header, window)
    else:
        draft.check_memory(header, window)
    return options
