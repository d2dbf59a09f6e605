"""Values of this package in, what JSON can hold out, and back by the types. Knows no JSON text.

What does not fit the types is refused: data that somebody changed never becomes a value.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["plain", "read"]

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Return a value as dicts, lists and scalars; an exact amount becomes its text.

    A set becomes a list in the order of its members' texts.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return [plain(part) for part in sorted(value, key=str)]
    return str(value) if isinstance(value, Decimal) else value


def read(kind: type[T], data: Any, *, lenient: bool = False) -> T:
    """Return the value that ``plain`` was given.

    Args:
        lenient: What the type does not have is passed over, and what is missing takes the type's
            default: the other side may be a newer or an older release.

    Raises:
        ValueError: It is something else; also TypeError, KeyError, ArithmeticError.
    """
    found: T = _Reader(lenient).read(kind, data)
    return found


@dataclasses.dataclass(frozen=True)
class _Reader:
    lenient: bool

    def read(self, hint: Any, data: Any) -> Any:
        origin, parts = get_origin(hint), get_args(hint)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self._dataclass(hint, data)
        if origin in (Union, types.UnionType):
            return self._union(parts, data)
        if origin is tuple:
            return self._tuple(parts, data)
        if origin is Literal:
            return _kept(data in parts, data, hint)
        if origin is not None:
            _kept(isinstance(data, dict), data, hint)
            return {key: self.read(parts[1], part) for key, part in data.items()}
        if hint is Decimal:
            return Decimal(data)
        if hint is float:
            return float(_kept(type(data) in (int, float), data, hint))
        return _kept(type(data) is hint, data, hint)

    def _dataclass(self, hint: type, data: Any) -> Any:
        hints = _hints(hint)
        whole = isinstance(data, dict) and (self.lenient or data.keys() == hints.keys())
        _kept(whole, data, hint.__name__)
        given = {name: data[name] for name in hints if name in data}
        return hint(**{name: self.read(hints[name], part) for name, part in given.items()})

    def _union(self, parts: tuple[Any, ...], data: Any) -> Any:
        if data is None and type(None) in parts:
            return None
        exact = [part for part in parts if part is type(data)]
        for part in exact or [part for part in parts if part is not type(None)]:
            try:
                return self.read(part, data)
            except (TypeError, ValueError):
                continue
        raise ValueError(f"expected one of {parts}, got {data!r:.80}")

    def _tuple(self, parts: tuple[Any, ...], data: Any) -> Any:
        _kept(isinstance(data, list), data, tuple)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(self.read(parts[0], part) for part in data)
        return tuple(self.read(part, one) for part, one in zip(parts, data, strict=True))


def _kept(fits: bool, data: Any, hint: Any) -> Any:
    if not fits:
        raise ValueError(f"expected {hint}, got {data!r:.80}")
    return data


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)
