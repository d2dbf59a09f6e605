"""A host's name in, the addresses that may be connected to out. Knows nothing of HTTP.

What a name resolves to is checked, and what was checked is what is connected to: a name that means
another address a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket

from ragstack.errors import RemoteError

__all__ = ["checked_addresses", "refusal"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_HINT = "allow_private = true reaches a server of your own network"


def checked_addresses(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return the addresses of a host, in the resolver's order, each of which may be reached.

    Args:
        host: A name or an address.
        allow_private: Loopback and private addresses too; link-local ones (where a cloud keeps its
            machines' credentials) never.

    Raises:
        RemoteError: No such host, or one of its addresses may not be reached.
    """
    addresses = [host] if _is_address(host) else _resolved(host, port)
    for address in addresses:
        kind = refusal(address, allow_private=allow_private)
        if kind:
            at = "" if address == host else f"{address}, "
            raise RemoteError(
                f"the host {host!r} is {at}a {kind} address, which is not reached",
                hint="" if allow_private else _HINT,
            )
    return addresses


def _resolved(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RemoteError(
            f"the host {host!r} has no address: {reason}",
            hint="check the name, and that the network is there",
            retryable=isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN,
        ) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def refusal(address: str, *, allow_private: bool) -> str:
    """Return why an address may not be connected to, or an empty text where it may."""
    parsed: _Address = ipaddress.ip_address(address.partition("%")[0])
    for each in (*_within(parsed), parsed):
        if each.is_link_local:
            return "link-local"
        if each.is_multicast or each.is_unspecified:
            return "multicast" if each.is_multicast else "unspecified"
        if not allow_private and not each.is_global:
            return "private"
    return ""


def _within(address: _Address) -> list[_Address]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[_Address | None] = [address.ipv4_mapped, address.sixtofour]
    found.extend(address.teredo or ())
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]
