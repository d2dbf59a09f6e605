"""An Answer in, JSON out, and back: for what is kept between processes. Reads back by the types.

What does not fit the types is no Answer: a file that somebody changed never becomes a value.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ragstack.errors import BaseError
from ragstack.types import Answer

__all__ = ["read_answer", "write_answer"]


def write_answer(answer: Answer) -> str:
    """Return the answer as JSON."""
    return json.dumps(_plain(answer))


def read_answer(text: str) -> Answer:
    """Return the answer that ``write_answer`` was given.

    Raises:
        BaseError: It is something else.
    """
    try:
        found: Answer = _read(Answer, json.loads(text))
    except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise BaseError(f"what was kept is no answer: {error}") from error
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Decimal) else value


def _read(hint: Any, data: Any) -> Any:
    origin, parts = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = _hints(hint)
        if not isinstance(data, dict) or data.keys() != hints.keys():
            raise ValueError(f"expected a {hint.__name__}, got {data!r:.80}")
        return hint(**{name: _read(hints[name], part) for name, part in data.items()})
    if origin in (Union, types.UnionType):
        return _read_union(parts, data)
    if origin is tuple:
        return _read_tuple(parts, data)
    if origin is Literal:
        return _kept(data in parts, data, hint)
    if origin is not None:
        _kept(isinstance(data, dict), data, hint)
        return {key: _read(parts[1], part) for key, part in data.items()}
    if hint is Decimal:
        return Decimal(data)
    if hint is float:
        return float(_kept(type(data) in (int, float), data, hint))
    return _kept(type(data) is hint, data, hint)


def _read_union(parts: tuple[Any, ...], data: Any) -> Any:
    if data is None and type(None) in parts:
        return None
    exact = [part for part in parts if part is type(data)]
    for part in exact or [part for part in parts if part is not type(None)]:
        try:
            return _read(part, data)
        except (TypeError, ValueError):
            continue
    raise ValueError(f"expected one of {parts}, got {data!r:.80}")


def _read_tuple(parts: tuple[Any, ...], data: Any) -> Any:
    _kept(isinstance(data, list), data, tuple)
    if len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(_read(parts[0], part) for part in data)
    return tuple(_read(part, one) for part, one in zip(parts, data, strict=True))


def _kept(fits: bool, data: Any, hint: Any) -> Any:
    if not fits:
        raise ValueError(f"expected {hint}, got {data!r:.80}")
    return data


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)
