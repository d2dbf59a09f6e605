"""Addresses in, bodies out, by one guarded HTTP client that all connectors share.

Guarded: private addresses are refused after the name was resolved, at every redirect anew, and the
connection goes to the address that was checked; bytes, seconds and redirects have limits; secrets
go to the origin they are meant for and into no message. Knows nothing of what a body holds.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from ragstack.errors import InputError, RemoteError
from ragstack_connectors.addresses import checked_addresses
from ragstack_connectors.credentials import plain_url, scrubbed, shown_url
from ragstack_connectors.replies import (
    RETRIED,
    Fetched,
    Refused,
    body_of,
    deadline_passed,
    refused,
    said_in,
    unreachable,
)

__all__ = ["Fetched", "Fetcher", "Limits", "Refused"]

_AGENT = "ragstack"
_PUBLIC = frozenset({"accept", "accept-language", "user-agent", "content-type", "depth"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = frozenset({"GET", "HEAD", "PROPFIND", "OPTIONS", "REPORT"})
_MOST_HOSTS = 16  # that connections are kept open to
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take.

    Attributes:
        max_bytes: Of a body, unpacked.
        connect_s: Seconds to connect to one address.
        silence_s: Seconds in which nothing comes.
        total_s: Seconds for a whole body.
        redirects: How many are followed.
        retries: Tries after the first, where the server says later or does not answer.
        max_wait_s: The longest wait that a server may ask for before a retry; what asks for more is
            an error that says so.
        delay_s: Seconds between two requests to one host.
    """

    max_bytes: int = 50_000_000
    connect_s: float = 10.0
    silence_s: float = 30.0
    total_s: float = 120.0
    redirects: int = 5
    retries: int = 3
    max_wait_s: float = 60.0
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)


class Fetcher:
    """Asks servers over HTTP. No cookies, no proxy of the environment, nothing logged.

    Args:
        headers: Sent with each request, a key or token among them. Where a redirect leads to
            another origin, those that may hold a secret are not sent.
        allow_private: Loopback and private addresses too. Link-local ones never.
        origin: Such as ``https://api.example.org``: to every other one ``headers`` that may hold a
            secret are never sent, whoever's link led there; empty sends them to each origin asked.

    Example:
        >>> fetcher = Fetcher(Limits(max_bytes=1_000_000), {"Authorization": f"Bearer {token}"})
        >>> fetcher.json("https://api.example.org/items", params={"page": 2})
    """

    def __init__(
        self,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        allow_private: bool = False,
        *,
        origin: str = "",
    ) -> None:
        self.limits = limits or Limits()
        self._headers = _checked(headers or {})
        self._secrets = tuple(_secrets_in(self._headers))
        self._allow_private = allow_private
        self._origin = _origin(httpx.URL(plain_url(origin, option="origin"))) if origin else None
        self._open: OrderedDict[tuple[object, ...], httpx.HTTPTransport] = OrderedDict()
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Fetcher({self.limits!r}, allow_private={self._allow_private!r})"

    def get(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        follow: Callable[[str], bool] | None = None,
    ) -> Fetched:
        """Return the answer to a GET: a success, or 304 where ``headers`` asked for it.

        Args:
            params: Laid over the address's own query.
            headers: For this request, over those of the Fetcher.
            follow: Says of each redirect's target whether to go there; else all are followed.

        Raises:
            InputError: ``url`` is no address of http or https, or has credentials in it.
            Refused: The server answers with another status, which stands in ``.status``.
            RemoteError: It cannot be reached, or may not be, or passes a limit.
        """
        return self.request("GET", url, params=params, headers=headers, follow=follow)

    def json(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the JSON of an answer to a GET, as ``get``.

        Raises:
            RemoteError: As of ``get``, and where the body is no JSON.
        """
        wanted = {"Accept": "application/json", **(headers or {})}
        return self.get(url, params, headers=wanted).json()

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        follow: Callable[[str], bool] | None = None,
    ) -> Fetched:
        """Return the answer to any request, as ``get``.

        A method that changes nothing is tried again where the connection breaks; others only where
        the server says that it has not begun (429, 503). Redirects of others are an error.
        """
        asked = _url(url, params)
        given = _checked({**self._headers, **(headers or {})})
        request = _Request(method.upper(), asked, given, content)
        until = time.monotonic() + self.limits.total_s
        for _ in range(self.limits.redirects + 1):
            reply = self._patiently(request, until)
            if reply.status not in _REDIRECTS or "location" not in reply.headers:
                if reply.ok or (reply.status == 304 and _is_conditional(given)):
                    return reply
                raise refused(reply, self._shown(said_in(reply)))
            request = self._redirected(request, reply, follow)
        raise RemoteError(
            f"{shown_url(url)} leads on more than {self.limits.redirects} times",
            hint="check the address; two may lead to each other",
        )

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def __enter__(self) -> Fetcher:
        """Return the fetcher itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def _redirected(
        self, request: _Request, reply: Fetched, follow: Callable[[str], bool] | None
    ) -> _Request:
        shown = shown_url(reply.url)
        try:
            target = request.url.join(reply.headers["location"])
            plain_url(str(target), option=f"the redirect of {shown}")
        except (httpx.InvalidURL, ValueError) as error:
            raise RemoteError(f"{shown} leads to what is no address: {error}") from None
        if request.method not in _SAFE:
            raise RemoteError(
                f"{shown} leads a {request.method} elsewhere: {shown_url(str(target))}"
            )
        if follow is not None and not follow(str(target)):
            raise Refused(
                f"{shown} leads to {shown_url(str(target))}, which is not to be fetched",
                status=reply.status,
            )
        headers = request.headers
        if _origin(target) != _origin(request.url):
            headers = {k: v for k, v in headers.items() if k.lower() in _PUBLIC}
        return _Request(request.method, target, headers, request.content)

    def _patiently(self, request: _Request, until: float) -> Fetched:
        """Return the first answer that is not to be tried again."""
        limits, url = self.limits, str(request.url)
        for tried in range(limits.retries + 1):
            wait = min(0.5 * 2.0**tried, 8.0)
            last = tried == limits.retries
            try:
                reply = self._once(request, until)
            except RemoteError as error:
                if last or not error.retryable or request.method not in _SAFE:
                    raise
            else:
                again = reply.status in (RETRIED if request.method in _SAFE else (429, 503))
                asked = reply.wait_s
                if last or not again or asked > limits.max_wait_s:
                    return reply
                wait = max(wait, asked)
                until += wait  # what a server asks for is not counted against it
            if time.monotonic() + wait > until:
                raise deadline_passed(url, limits.total_s)
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _once(self, request: _Request, until: float) -> Fetched:
        url = request.url
        host, port = url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
        self._politely(host)
        addresses = checked_addresses(host, port, allow_private=self._allow_private)
        for address in addresses:
            try:
                return self._sent(request, address, host, until)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if address == addresses[-1]:
                    raise unreachable(str(url), error, self._shown) from error
            except httpx.HTTPError as error:
                raise unreachable(str(url), error, self._shown) from error
        raise RemoteError(f"the host {host!r} has no address")

    def _sent(self, request: _Request, address: str, host: str, until: float) -> Fetched:
        limits, url = self.limits, request.url
        sent = httpx.Request(
            request.method,
            url.copy_with(host=address, fragment=None),
            headers={
                "User-Agent": _AGENT,
                "Accept": "*/*",
                **self._meant_for(url, request.headers),
                "Accept-Encoding": "gzip",  # the one packing whose size is watched while it unpacks
                "Host": url.netloc.decode("ascii"),
            },
            content=request.content,
            extensions={
                "sni_hostname": host,
                "timeout": httpx.Timeout(limits.silence_s, connect=limits.connect_s).as_dict(),
            },
        )
        response = self._transport(url, address).handle_request(sent)
        try:
            body = body_of(response.iter_raw(), response.headers, str(url), limits.max_bytes, until)
        finally:
            response.close()
        return Fetched(response.status_code, response.headers, body, str(url))

    def _transport(self, url: httpx.URL, address: str) -> httpx.HTTPTransport:
        # One for each host, not for each address: a connection that was made to one name must not
        # answer for another that shares its address, whose certificate was never looked at.
        place = (*_origin(url), address)
        with self._lock:
            if self._tls is None and url.scheme == "https":
                self._tls = httpx.create_ssl_context()
            found = self._open.pop(place, None)
            if found is None:
                found = httpx.HTTPTransport(verify=self._tls or False, trust_env=False)
            self._open[place] = found
            if len(self._open) > _MOST_HOSTS:
                self._open.popitem(last=False)[1].close()
        return found

    def _meant_for(self, url: httpx.URL, headers: Mapping[str, str]) -> Mapping[str, str]:
        if self._origin is None or _origin(url) == self._origin:
            return headers
        return {name: value for name, value in headers.items() if name.lower() in _PUBLIC}

    def _politely(self, host: str) -> None:
        with self._lock:
            now = time.monotonic()
            free = max(now, self._asked.get(host, float("-inf")) + self.limits.delay_s)
            self._asked[host] = free
        if free > now:
            time.sleep(free - now)

    def _shown(self, text: str) -> str:
        return scrubbed(text, self._secrets)


def _url(url: str, params: Mapping[str, Any] | None) -> httpx.URL:
    try:
        found = httpx.URL(plain_url(url))
        return found.copy_merge_params(params) if params else found
    except httpx.InvalidURL as error:
        raise InputError(f"{shown_url(url)!r} is no address: {error}") from None


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host.lower(), url.port or _PORTS.get(url.scheme, 0)


def _is_conditional(headers: Mapping[str, str]) -> bool:
    return any(name.lower() in ("if-none-match", "if-modified-since") for name in headers)


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        # Told here, because the library's own message would show the value.
        if not (value.isascii() and value.isprintable()):
            raise InputError(
                f"the header {name!r} has characters that no header can hold",
                hint="is there a line end in the environment variable it comes from?",
            )
    return dict(headers)


def _secrets_in(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if name.lower() not in _PUBLIC:
            yield value
            yield value.rpartition(" ")[2]
