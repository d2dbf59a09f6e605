"""Names of hosts and headers of HTTP in, what they say out. Opens no connection."""

from __future__ import annotations

import email.utils
import ipaddress
import math
import time

__all__ = ["is_loopback", "retry_after_s"]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine and no other: ``localhost`` or such an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def retry_after_s(value: str) -> float:
    """Return the seconds that a ``Retry-After`` asks to wait (RFC 9110, 10.2.3); 0 for none.

    It is a number of seconds or a date; what is neither, is over or has no end asks for nothing.
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_tz(value)
            seconds = email.utils.mktime_tz(moment) - time.time() if moment else 0.0
        except (ValueError, OverflowError, TypeError):
            return 0.0
    return seconds if 0.0 < seconds < math.inf else 0.0
