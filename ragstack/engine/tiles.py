"""A prompt in; whether it can be served, and the images that it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ragstack.engine.guard import check_fit
from ragstack.engine.images import Image, words
from ragstack.engine.projector import Tile
from ragstack.engine.worker import Worker
from ragstack.errors import InputError

__all__ = ["Tiles", "images_of", "rows_before", "tiles_of"]

Tiles: TypeAlias = Sequence[tuple[int, Tile]]
"""Tiles of images, each with the place in the prompt where it begins."""


def tiles_of(worker: Worker, prompt: Sequence[int], answer: int) -> Tiles:
    """Return the tiles of a prompt that can be served; who holds them keeps them from going.

    Args:
        answer: Tokens that may follow.

    Raises:
        ContextOverflow: Prompt and answer do not fit.
        EngineBusy: An image is not kept any more.
        InputError: A token is out of range, there is no prompt, or an image is too large.
    """
    limits, projector = worker.context.limits, worker.projector
    vocabulary = worker.model.vocabulary
    if projector is None:
        vocabulary.check(prompt)
        check_fit(len(prompt), answer, limits)
        return ()
    vocabulary.check(words(prompt))
    found = projector.find(prompt)
    check_fit(len(prompt) + sum(tile.extra for _, tile in found), answer, limits)
    if found and found[-1][1].ids[-1] == prompt[-1]:
        raise InputError("the prompt ends with an image, expected text after it")
    for _, tile in found:
        if tile.whole and tile.cells > limits.batch:
            raise InputError(
                f"an image takes {tile.cells} rows that are read in one step, expected at most "
                f"{limits.batch}: the tokens of a step"
            )
    return found


def rows_before(end: int, tiles: Tiles) -> int:
    """Return how many rows of the cache the first tokens of a prompt fill.

    Args:
        end: How many tokens those are.
        tiles: The prompt's.
    """
    return end + sum(tile.extra for at, tile in tiles if at + len(tile.ids) <= end)


def images_of(tiles: Tiles, wanted: Callable[[], bool]) -> tuple[Image, ...] | None:
    """Return what the model is to read of tiles; those that nobody asked for before take time.

    Args:
        wanted: Asked before each; None is returned once it is not.

    Raises:
        GenerationError: llama.cpp cannot read one.
    """
    found: list[Image] = []
    for at, tile in tiles:
        image = tile.placed(at, wanted)
        if image is None:
            return None
        found.append(image)
    return tuple(found)
