from __future__ import annotations

import email.utils
import gzip
import logging
import socket
import time
from typing import Any

import pytest

from ragstack.errors import InputError, RemoteError
from ragstack_connectors import addresses
from ragstack_connectors.addresses import checked_addresses, refusal
from ragstack_connectors.http import Fetcher, Limits, Refused

QUICK = Limits(retries=1, silence_s=5.0, total_s=10.0)


@pytest.fixture
def fetcher(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Fetcher(QUICK, allow_private=True) as found:
        yield found


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    ("address", "kind", "ever"),
    [
        ("93.184.216.34", "", True),
        ("2606:4700::1111", "", True),
        ("127.0.0.1", "private", True),
        ("10.1.2.3", "private", True),
        ("192.168.0.1", "private", True),
        ("100.64.0.1", "private", True),
        ("::1", "private", True),
        ("fd00::1", "private", True),
        ("::ffff:10.0.0.1", "private", True),
        ("64:ff9b::a00:1", "private", True),
        ("2002:a00:1::", "private", True),
        ("169.254.169.254", "link-local", False),
        ("fe80::1%eth0", "link-local", False),
        ("::ffff:169.254.169.254", "link-local", False),
        ("0.0.0.0", "unspecified", False),
        ("224.0.0.1", "multicast", False),
    ],
)
def test_addresses(address: str, kind: str, ever: bool) -> None:
    assert refusal(address, allow_private=False) == kind
    assert (refusal(address, allow_private=True) == "") is ever


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1"])
def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    with Fetcher() as fetcher, pytest.raises(RemoteError, match="private"):
        try:
            fetcher.get(f"http://{host}:9/")
        except RuntimeError as error:  # the guard of the tests knows fewer ways to write them
            raise RemoteError("private") from error


def test_one_bad_address_of_a_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(*_asked: Any, **_more: Any) -> list[Any]:
        return [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", resolved)
    with pytest.raises(RemoteError, match=r"'example.org' is 10.0.0.1, a private address"):
        checked_addresses("example.org", 80, allow_private=False)


def test_what_was_checked_is_what_is_connected_to(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["127.0.0.1", "169.254.169.254"]

    real = socket.getaddrinfo

    def resolved(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        if host == "127.0.0.1":  # the connection asks what this address is
            return real(host, port, *rest, **more)
        return [(2, 1, 6, "", (answers.pop(0), port))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", resolved)
    site.put("/", "hello")
    port = site.server.server_port
    with Fetcher(QUICK, allow_private=True) as fetcher:
        assert fetcher.get(f"http://rebound.example.org:{port}/").body == b"hello"
        assert answers == ["169.254.169.254"]  # asked once, and not again by the connection
        assert site.asked[0][1]["host"] == f"rebound.example.org:{port}"
        with pytest.raises(RemoteError, match="link-local"):
            fetcher.get(f"http://rebound.example.org:{port}/")


def test_a_redirect_to_a_private_address_is_refused(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("/", status=302, Location="http://169.254.169.254/latest/meta-data/")
    with (
        Fetcher(QUICK, allow_private=True) as fetcher,
        pytest.raises(RemoteError, match="link-local"),
    ):
        fetcher.get(site.url)


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://a:b@c/", "http://[::", "ftp://x/"]
)
def test_a_redirect_to_no_address(site: Any, fetcher: Fetcher, target: str) -> None:
    site.put("/", status=302, Location=target)
    with pytest.raises((RemoteError, InputError)):
        fetcher.get(site.url)


def test_redirects_are_followed_so_far(site: Any, fetcher: Fetcher) -> None:
    site.put("/a", status=301, Location="b")
    site.put("/b", status=307, Location="/c?x=1")
    site.put("/c?x=1", "there")
    found = fetcher.get(site.url + "/a")
    assert (found.body, found.url) == (b"there", site.url + "/c?x=1")
    site.put("/round", status=302, Location="/round")
    with pytest.raises(RemoteError, match="more than 5 times"):
        fetcher.get(site.url + "/round")
    with pytest.raises(Refused, match="not to be fetched"):
        fetcher.get(site.url + "/a", follow=lambda url: url.endswith("/a"))
    with pytest.raises(RemoteError, match="leads a POST elsewhere"):
        fetcher.request("POST", site.url + "/a", content=b"x")


def test_secrets_stay_with_their_origin(site: Any, other_site: Any) -> None:
    other = other_site.put("/", "theirs")
    site.put("/", status=302, Location=other)
    headers = {"Authorization": "Bearer open-sesame", "Accept": "text/html"}
    with Fetcher(QUICK, headers, allow_private=True) as fetcher:
        assert fetcher.get(site.url).body == b"theirs"
    assert site.asked[0][1]["authorization"] == "Bearer open-sesame"
    assert "authorization" not in other_site.asked[0][1]
    assert other_site.asked[0][1]["accept"] == "text/html"
    with Fetcher(QUICK, headers, allow_private=True, origin=site.url) as bound:
        bound.get(other)
    assert "authorization" not in other_site.asked[1][1]


def test_no_secret_is_told(site: Any, naps: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(handler: Any) -> Any:
        words = f'{{"error": {{"message": "bad key {handler.headers["X-Key"]}"}}}}'
        return type(site.pages["/x"])(words.encode(), 401, {"Content-Type": "application/json"})

    site.put("/x")
    site.pages["/?key=q-secret"] = echo
    with Fetcher(QUICK, {"X-Key": "open-sesame"}, allow_private=True) as fetcher:
        with pytest.raises(Refused, match=r"answered 401: bad key \*\*\*") as raised:
            fetcher.get(site.url, {"key": "q-secret"})
        assert "q-secret" not in str(raised.value)
        assert raised.value.status == 401
        assert "open-sesame" not in repr(fetcher) + caplog.text
    assert "q-secret" not in caplog.text
    with pytest.raises(InputError, match="no header can hold") as refused:
        Fetcher(headers={"Authorization": "Bearer open-sesame\n"})
    assert "sesame" not in str(refused.value)


def test_credentials_in_an_address_are_refused_and_not_shown(fetcher: Fetcher) -> None:
    with pytest.raises(InputError) as raised:
        fetcher.get("https://user:open-sesame@example.org/")
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize("url", ["ftp://a/", "file:///etc/passwd", "a", "http://", "http://a:x/"])
def test_other_addresses_are_refused(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(InputError):
        fetcher.get(url)


def test_a_body_has_a_limit(site: Any) -> None:
    site.put("/", b"x" * 1_001)
    packed = gzip.compress(b"\0" * 30_000_000)
    assert len(packed) < 100_000
    site.put("/bomb", packed, Content_Encoding="gzip")
    with Fetcher(Limits(max_bytes=1_000), allow_private=True) as small:
        with pytest.raises(RemoteError, match="more than 1,000 bytes"):
            small.get(site.url)
        with pytest.raises(RemoteError, match="more than 1,000 bytes"):
            small.get(site.url + "/bomb")


def test_packed_bodies(site: Any, fetcher: Fetcher, naps: list[float]) -> None:
    twice = gzip.compress(b"one") + gzip.compress(b"two")
    site.put("/", twice, Content_Encoding="gzip")
    assert fetcher.get(site.url).body == b"onetwo"
    site.put("/cut", gzip.compress(b"x" * 10_000)[:-5], Content_Encoding="gzip")
    with pytest.raises(RemoteError, match="broke off"):
        fetcher.get(site.url + "/cut")
    site.put("/br", b"x", Content_Encoding="br")
    with pytest.raises(RemoteError, match="packed as 'br'"):
        fetcher.get(site.url + "/br")


def test_what_is_busy_is_asked_again_when_it_says(
    site: Any, fetcher: Fetcher, naps: list[float]
) -> None:
    page = type(site.pages.setdefault("/x", site.put("/x") and site.pages["/x"]))
    answers = [page(b"", 429, {"Retry-After": "3"}), page(b"done")]
    site.pages["/"] = lambda _handler: answers.pop(0)
    assert fetcher.get(site.url).body == b"done"
    assert naps == [3.0]


def test_a_wait_may_be_a_date_or_too_long(site: Any, fetcher: Fetcher, naps: list[float]) -> None:
    later = email.utils.formatdate(time.time() + 5, usegmt=True)
    site.put("/", "busy", 503, Retry_After=later)
    with pytest.raises(Refused, match="answered 503") as raised:
        fetcher.get(site.url)
    assert 3.0 < naps[0] < 6.0 and raised.value.retryable
    site.put("/", "busy", 429, Retry_After="86400")
    with pytest.raises(Refused, match="asks to wait 86400 s") as refused:
        fetcher.get(site.url)
    assert len(naps) == 1 and refused.value.wait_s == 86400.0


def test_what_cannot_be_reached(naps: list[float], fetcher: Fetcher) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RemoteError, match="cannot be reached") as raised:
        fetcher.get(f"http://127.0.0.1:{port}/")
    assert raised.value.retryable and len(naps) == 1


def test_json_and_posts(site: Any, fetcher: Fetcher) -> None:
    site.put("/a?page=2", '{"a": [1]}', Content_Type="application/json")
    assert fetcher.json(site.url + "/a", {"page": 2}) == {"a": [1]}
    site.put("/log-in", "<html>log in</html>")
    with pytest.raises(RemoteError, match="cannot be read as JSON"):
        fetcher.json(site.url + "/log-in")


def test_a_page_that_did_not_change(site: Any, fetcher: Fetcher) -> None:
    site.put("/", "x")
    tag = fetcher.get(site.url).headers["etag"]
    assert fetcher.get(site.url, headers={"If-None-Match": tag}).status == 304


def test_requests_to_one_host_keep_their_distance(site: Any, naps: list[float]) -> None:
    site.put("/", "x")
    with Fetcher(Limits(delay_s=2.0), allow_private=True) as slow:
        for _ in range(3):
            slow.get(site.url)
    assert len(naps) == 2 and all(1.0 < nap < 4.1 for nap in naps)
