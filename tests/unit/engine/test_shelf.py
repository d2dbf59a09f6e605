"""What is not at work leaves the cache, and is there again for who goes on with it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ragstack.engine import worker
from ragstack.engine.context import Options
from ragstack.engine.engine import Engine, Manner, Request
from ragstack.engine.shelf import Shelf, Shelved
from ragstack.types import Sampling

_QUIET = Manner(speculate=False)


def _shelved(tokens: list[int], used: int, key: str = "") -> Shelved:
    return Shelved(tokens, key, used, bytes(tokens))


def test_the_shelf_gives_up_what_was_not_used_for_longest() -> None:
    shelf = Shelf(9, tokens=6)
    for used, tokens in enumerate(([1, 1, 1], [2, 2, 2], [3, 3])):
        shelf.put(_shelved(tokens, used))
    assert shelf.nearest([1, 1, 1, 9], "") == (None, 0)
    found, common = shelf.nearest([2, 2, 9], "")
    assert found is not None and found.tokens == [2, 2, 2] and common == 2
    shelf.put(_shelved([4] * 7, 9))  # more than it may hold
    assert len(shelf) == 0
    shelf = Shelf(2, tokens=100)
    for token in (1, 2, 3):
        shelf.put(_shelved([token], token))
    assert shelf.nearest([1, 5], "") == (None, 0) and len(shelf) == 2


def test_the_shelf_keeps_keys_apart_and_forgets_beginnings() -> None:
    shelf = Shelf(9, tokens=100)
    shelf.put(_shelved([1, 2], 0))
    shelf.put(_shelved([1, 2], 1, "adapter"))
    shelf.put(_shelved([1, 2, 3], 2))
    assert len(shelf) == 2
    assert shelf.nearest([1, 2, 3, 4], "adapter")[1] == 2
    assert shelf.nearest([1, 2, 3], "")[1] == 2  # never the whole prompt
    assert shelf.holding([1, 2], "") is None


def _until_tidy(engine: Engine) -> None:
    limit = time.monotonic() + 10
    while engine._worker.call(lambda: engine._worker.scheduler.sequences.too_many):
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.mark.parametrize("flash_attention", ["auto", "off"])
@pytest.mark.parametrize("at_leisure", [False, True])
def test_conversations_in_turns_read_only_what_is_new(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, flash_attention: str, at_leisure: bool
) -> None:
    """The same texts with everything in the cache and with all on the shelf."""
    found = []
    monkeypatch.setattr(worker, "_QUIET_S", 0.0)
    for near in (100_000, 0):
        options = Options(
            size=512, cells=2048, threads=1, streams=2, kept=6, flash_attention=flash_attention
        )
        engine = Engine(tiny_path, options)
        sequences = engine._worker.scheduler.sequences
        monkeypatch.setattr(sequences, "_near", near if flash_attention == "auto" else None)
        monkeypatch.setattr(sequences, "_at_leisure", at_leisure)
        try:
            texts, cached = [], []
            talks = [[60 + talk, *(65 + n % 20 for n in range(100))] for talk in range(3)]
            for _turn in range(3):
                for talk in talks:
                    sampling = Sampling(max_tokens=8)
                    generation = engine.generate(Request(tuple(talk), sampling, manner=_QUIET))
                    written = list(generation)
                    cached.append(generation.cached)
                    texts.append(written)
                    talk += [*written, 90, 91]
                    if at_leisure:
                        _until_tidy(engine)
            assert bool(len(sequences._shelf)) == (near == 0 and flash_attention == "auto")
        finally:
            engine.close()
        found.append((texts, cached))
    assert found[0] == found[1]
    assert all(count >= 100 for count in found[1][1][3:])
