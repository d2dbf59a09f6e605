from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.agents.arithmetic import evaluate
from ragstack.errors import InputError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("0.1 + 0.2", "0.3"),
        ("10 / 2", "5"),
        ("10 / 4", "2.5"),
        ("-7 // 2", "-4"),
        ("7 % 3", "1"),
        ("2 ** 10", "1024"),
        ("2 ^ 10", "1024"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("3 × 4 − 2 ÷ 2", "11"),
        ("1_000 + 1", "1001"),
        ("1.5e3", "1500"),
        ("1e20", "1e+20"),
        ("sqrt(16) + abs(-3)", "7"),
        ("round(2.567, 1)", "2.6"),
        ("round(1234, -2)", "1200"),
        ("max(1, 5, 3) - min(4, 2)", "3"),
        ("log(e)", "1"),
        ("log(8, 2)", "3"),
        ("log10(1000)", "3"),
        ("pi", "3.14159265358979"),
        ("  1 ", "1"),
        ("2 ** -1", "0.5"),
    ],
)
def test_values(expression: str, value: str) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "not an arithmetic expression"),
        ("2 +", "not an arithmetic expression"),
        ("1; 2", "not an arithmetic expression"),
        ("1\x00", "not an arithmetic expression"),
        ("(" * 250 + "1" + ")" * 249, "not an arithmetic expression"),
        ("1 / 0", "divides by zero"),
        ("0 ** -1", "divides by zero"),
        ("9 ** 9 ** 9", "too large"),
        ("10 ** 400 * 10 ** 400 * 10 ** 400 * 10 ** 400", "too large"),
        ("1e308 * 10", "too large"),
        ("exp(1e6)", "too large"),
        ("1e999", "too large"),
        ("sqrt(-1)", "has no value"),
        ("(-8) ** 0.5", "not a real number"),
        ("round(5, -10 ** 9)", "at most 300 digits"),
        ("round(5.5, 1.5)", "at most 300 digits"),
        ("sqrt(1, 2)", "takes 1 numbers"),
        ("max(1)", "takes 2 to 100 numbers"),
        ("1,234 + 1", "comma"),
        ("2x", "no number"),
        ("0x1f", "no number"),
        ("1if 1else 2", "no number"),
        ("3j", "no number"),
        ("5 << 2", "LShift"),
        ("True + 1", "not arithmetic"),
        ("'a' * 9", "not arithmetic"),
        ("1 if 2 else 3", "not arithmetic"),
        ("x + 1", "not arithmetic"),
        ("__import__('os').system('true')", "not arithmetic"),
        ("sqrt.__class__", "not arithmetic"),
        ("(lambda: 1)()", "not arithmetic"),
        ("[1][0]", "not arithmetic"),
        ("max(*[1, 2])", "not arithmetic"),
        ("round(1.23, ndigits=1)", "not arithmetic"),
        ("-" * 200 + "1", "nested more than"),
        ("1+" * 300 + "1", "characters"),
    ],
)
def test_what_is_no_arithmetic_is_refused(expression: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        evaluate(expression)


def test_long_sums_pass_within_the_length() -> None:
    # A sum of n terms nests n deep on the left: as deep as the bound allows.
    assert evaluate("+".join(["1"] * 60)) == "60"


@given(st.text(alphabet="0123456789.+-*/%^() ,eEpilogsqrtmaxround_x[]'\"", max_size=60))
def test_whatever_is_written_ends_soon_in_a_value_or_an_input_error(expression: str) -> None:
    begun = time.perf_counter()
    with contextlib.suppress(InputError):
        assert evaluate(expression)
    assert time.perf_counter() - begun < 1.0


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_whole_numbers_are_exact(left: int, right: int) -> None:
    assert evaluate(f"({left}) * ({right}) - {abs(right)}") == str(left * right - abs(right))
