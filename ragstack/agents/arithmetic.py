"""An expression as text in, its value as text out: arithmetic and nothing else, within bounds."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping

from ragstack.errors import InputError

__all__ = ["evaluate"]

_MAX_CHARACTERS = 500
_MAX_BITS = 4_096  # of a whole number: 1,233 digits
_MAX_DEPTH = 60
_MAX_DIGITS = 300

_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "\u00a0": " "})
# "2x", "1if", "0x1f": Python's tokenizer reads some of these with a warning, and none is meant.
_GLUED = re.compile(r"\d\.?(?![eE][+-]?\d)[^\W\d_]")

_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def _rounded(value: float, digits: int = 0) -> float:
    # For a whole number Python would compute 10 ** -digits: minutes, if a model writes a large one.
    if not isinstance(digits, int) or abs(digits) > _MAX_DIGITS:
        raise InputError(f"round takes at most {_MAX_DIGITS} digits, got {digits!r}")
    return round(value, digits)


_FUNCTIONS: Mapping[str, tuple[Callable[..., float], int, int]] = {
    "abs": (abs, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "cos": (math.cos, 1, 1),
    "exp": (math.exp, 1, 1),
    "floor": (math.floor, 1, 1),
    "log": (math.log, 1, 2),
    "log10": (math.log10, 1, 1),
    "max": (max, 2, 100),
    "min": (min, 2, 100),
    "round": (_rounded, 1, 2),
    "sin": (math.sin, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "tan": (math.tan, 1, 1),
}
_CONSTANTS: Mapping[str, float] = {"e": math.e, "pi": math.pi}


def evaluate(expression: str) -> str:
    """Return the value of an arithmetic expression: whole numbers exactly, others to 15 digits.

    ``+ - * / // % **`` (``^`` is a power too), parentheses, ``pi``, ``e`` and ``abs ceil cos exp
    floor log log10 max min round sin sqrt tan``. Angles are radians.

    Raises:
        InputError: Not such an expression, too long, too large, or without a value; says which.
    """
    if len(expression) > _MAX_CHARACTERS:
        raise InputError(
            f"the expression has {len(expression)} characters, at most {_MAX_CHARACTERS} are read"
        )
    text = expression.translate(_SIGNS).replace("^", "**").strip()
    if glued := _GLUED.search(text):
        raise InputError(
            f"{glued[0]!r} in {expression!r} is no number", hint="write a product with '*'"
        )
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise InputError(f"{expression!r} is not an arithmetic expression") from error
    try:
        value = _value(tree.body, 0)
    except ZeroDivisionError as error:
        raise InputError(f"{expression!r} divides by zero") from error
    except OverflowError as error:
        raise InputError(f"{expression!r} is too large a number") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{expression!r} has no value: {error}") from error
    if isinstance(value, int):
        return str(value)
    # Floor keeps what is whole whole: 10 / 2 is 5, and 0.1 + 0.2 is 0.3.
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"


def _value(node: ast.expr, depth: int) -> float:
    if depth > _MAX_DEPTH:
        raise InputError(f"the expression is nested more than {_MAX_DEPTH} deep")
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, depth + 1))
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(op, _value(left, depth + 1), _value(right, depth + 1))
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in _FUNCTIONS:
            return _called(name, [_value(part, depth + 1) for part in parts])
        case ast.Tuple():
            raise InputError("a comma stands where none belongs", hint="write 1234.5, not 1,234.5")
        case _:
            raise InputError(
                f"{ast.unparse(node)!r} is not arithmetic; known: numbers, + - * / // % **, "
                f"{', '.join([*_CONSTANTS, *_FUNCTIONS])}"
            )


def _binary(op: ast.operator, left: float, right: float) -> float:
    if isinstance(op, ast.Pow):
        return _power(left, right)
    if type(op) not in _BINARY:
        raise InputError(f"the operator {type(op).__name__!r} is not arithmetic")
    return _bounded(_BINARY[type(op)](left, right))


def _power(base: float, exponent: float) -> float:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and exponent > 0 and int(base).bit_length() * exponent > _MAX_BITS:
        raise OverflowError
    value = base**exponent
    if isinstance(value, complex):
        raise InputError(f"{base!r} to the power of {exponent!r} is not a real number")
    return _bounded(value)


def _called(name: str, values: list[float]) -> float:
    function, least, most = _FUNCTIONS[name]
    if not least <= len(values) <= most:
        counts = str(least) if least == most else f"{least} to {most}"
        raise InputError(f"{name!r} takes {counts} numbers, got {len(values)}")
    return _bounded(function(*values))


def _bounded(value: float) -> float:
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise OverflowError
    elif not math.isfinite(value):
        raise OverflowError
    return value
