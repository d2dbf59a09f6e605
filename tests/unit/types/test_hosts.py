from __future__ import annotations

import email.utils
import time

import pytest

from ragstack.types.hosts import is_loopback, retry_after_s


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.evil", "127.evil.example", "a.localhost"]
)
def test_another(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(("value", "seconds"), [("3", 3.0), (" 1.5 ", 1.5), ("86400", 86_400.0)])
def test_seconds(value: str, seconds: float) -> None:
    assert retry_after_s(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-3", "nan", "inf", "1e999", "Mon, 99 Foo"])
def test_nothing_is_asked(value: str) -> None:
    assert retry_after_s(value) == 0.0


def test_a_date() -> None:
    later = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 50 < retry_after_s(later) <= 60
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
