"""Two models in, whether one can guess for the other, and from which share of right guesses on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from ragstack.engine.batch import Piece
from ragstack.engine.context import Context
from ragstack.engine.costs import Costs
from ragstack.engine.model import Model
from ragstack.errors import InputError, ModelError

__all__ = ["DraftReport", "check_pair", "measure", "needed", "shares"]

_FAMILY = "a draft model is a smaller one of the same family, such as qwen2.5-coder-0.5b-instruct "
_MEASURING_S = 5.0
_SHARES = 20  # into so many equal steps a share of right guesses is cut


@dataclass(frozen=True, slots=True)
class DraftReport:
    """What a draft model did, and whether it pays.

    Attributes:
        active: Whether it is used where it promises to gain; else ``message`` says why not.
        guessed: Tokens it guessed, ``right`` of them rightly.
        rate: How likely its next greedy guess is right.
        needed: The rate from which on it gains a tenth for one stream; None where none would do.
        token_s: Seconds that a token of it takes.
    """

    model: str
    active: bool
    message: str
    guessed: int
    right: int
    rate: float
    needed: float | None
    token_s: float


def check_pair(draft: Model, target: Model) -> None:
    """Refuse a draft model whose tokens are not the target's.

    Normal tokens must be the same, id by id; marks may have other names, and a vocabulary may be
    padded at its end.

    Raises:
        InputError: They differ; says where.
        ModelError: What the draft read cannot be taken back.
    """
    name = draft.header.path.name
    if not draft.can_forget:
        raise ModelError(
            f"{name!r} cannot draft: what this kind of model ({draft.header.architecture}) read "
            "cannot be taken back",
            hint=_FAMILY + "for qwen2.5-coder-1.5b-instruct",
        )
    ours, theirs = draft.vocabulary.pieces(), target.vocabulary.pieces()
    for token, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other and not (
            draft.vocabulary.is_mark(token) and target.vocabulary.is_mark(token)
        ):
            raise InputError(
                f"{name!r} cannot draft for {target.header.path.name!r}: token {token} is {one!r} "
                f"there and {other!r} here, expected the same vocabulary",
                hint=_FAMILY + "for qwen2.5-coder-1.5b-instruct",
            )
    longer = draft if len(ours) > len(theirs) else target
    for token in range(min(len(ours), len(theirs)), longer.vocabulary.size):
        if _says_something(longer, token):
            raise InputError(
                f"{name!r} cannot draft for {target.header.path.name!r}: it has {len(ours)} tokens "
                f"and not {len(theirs)}, expected the same vocabulary",
                hint=_FAMILY + "for qwen2.5-coder-1.5b-instruct",
            )


def measure(context: Context, costs: Costs, sequence: int, sizes: Iterable[int]) -> None:
    """Take steps of these sizes in an empty sequence, and let it be learnt what they cost.

    The better of two: the first may wait for the weights, either for another program. It ends where
    it has taken too long already.
    """
    until = time.perf_counter() + _MEASURING_S
    for size in sizes:
        rows, took = min(size, context.limits.outputs), []
        for _ in range(2):
            began = time.perf_counter()
            if not context.decode([Piece(sequence, 0, [0] * size, rows)]):
                return
            context.logits(size - 1)
            took.append(time.perf_counter() - began)
            context.cut(sequence, 0)
        costs.learn(size, min(took))
        if time.perf_counter() > until:
            return


def needed(costs: Costs, token_s: float, most: int) -> float | None:
    """Return the least share of right guesses with which drafting gains; None where none does.

    For one stream, to a step of five percent.

    Args:
        costs: The target's.
        token_s: Seconds of a drafted token.
        most: Tokens drafted at once.
    """
    tried = (number / _SHARES for number in range(1, _SHARES + 1))
    return next((rate for rate in tried if costs.plan(1, rate, most, each_s=token_s)[0]), None)


def shares(rate: float, least: float | None) -> str:
    """Return in words how many guesses are right, and how many have to be."""
    wanted = "no share would do" if least is None else f"{least:.0%} must be, so that it gains"
    return f"{rate:.0%} of its guesses are right, {wanted}"


def _says_something(model: Model, token: int) -> bool:
    """Return whether a token is text, and no mark or padding."""
    piece = model.vocabulary.piece(token)
    return bool(piece) and not model.vocabulary.is_mark(token) and b"PAD" not in piece.upper()
