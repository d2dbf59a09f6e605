"""An Answer in, JSON out, and back: for what is kept between processes. Reads back by the types.

What does not fit the types is no Answer: a file that somebody changed never becomes a value.
"""

from __future__ import annotations

import json

from ragstack.errors import BaseError
from ragstack.types import Answer
from ragstack.types.plain import plain, read

__all__ = ["read_answer", "write_answer"]


def write_answer(answer: Answer) -> str:
    """Return the answer as JSON."""
    return json.dumps(plain(answer))


def read_answer(text: str) -> Answer:
    """Return the answer that ``write_answer`` was given.

    Raises:
        BaseError: It is something else.
    """
    try:
        return read(Answer, json.loads(text))
    except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise BaseError(f"what was kept is no answer: {error}") from error
