"""``{ env = "NAME" }`` in, the secret out; and texts in which no secret is to be read."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ragstack.errors import ConfigError, InputError

__all__ = ["Env", "authorization", "plain_url", "scrubbed", "secret", "shown_url"]

Env = Mapping[str, str]
"""How an option names a secret: ``{ env = "NAME" }``."""

_SHORTEST = 4  # of a text this short every other word would be blotted out


def secret(value: Env | None, *, option: str) -> str:
    """Return the secret an option names by its variable; an empty text where it names none.

    Raises:
        ConfigError: A secret written out, or a variable that is not set or empty.
    """
    if value is None:
        return ""
    if not isinstance(value, Mapping) or set(value) != {"env"}:
        raise ConfigError(
            f"the option {option!r} holds a secret itself",
            hint=f'name an environment variable instead: {option} = {{ env = "NAME" }}',
        )
    name = str(value["env"])
    found = os.environ.get(name, "")
    if not found:
        raise ConfigError(
            f"the environment variable {name!r}, which {option!r} names, is not set",
            hint=f"export {name}=… before the command",
        )
    return found


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """Return a text with every secret in it replaced by ``***``."""
    for each in sorted(secrets, key=len, reverse=True):
        if len(each) >= _SHORTEST:
            text = text.replace(each, "***")
    return text


def shown_url(url: str) -> str:
    """Return an address as it may be shown: no user, no password, nothing of its query."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an address that cannot be read"
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{host}{parts.path}{query}" if host else f"{parts.path}{query}"


def plain_url(url: str, *, option: str = "url", schemes: Iterable[str] = ("http", "https")) -> str:
    """Return the address, checked: a scheme that is known, a host, and no credentials in it.

    Raises:
        InputError: It is none of these. The message shows no credentials.
    """
    known = tuple(schemes)
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{option} is {shown_url(url)!r}, which is no address: {error}") from None
    if parts.scheme not in known or not host:
        wanted = " or ".join(f"{scheme}://" for scheme in known)
        raise InputError(f"{option} is {shown_url(url)!r}; an address of {wanted} was expected")
    if "@" in parts.netloc:
        raise InputError(
            f"{option} has a user or a password in it: {shown_url(url)}",
            hint='leave them out of the address, and name them as options: { env = "NAME" }',
        )
    return url


def authorization(user: str, password: Env | None, token: Env | None) -> dict[str, str]:
    """Return the header that says who asks: a token as Bearer, a user and password as Basic.

    Raises:
        ConfigError: As of ``secret``; a user without a password, or both ways at once.
    """
    bearer, word = secret(token, option="token"), secret(password, option="password")
    if bearer and word:
        raise ConfigError("both a token and a password are given; one of them is enough")
    if bearer:
        return {"Authorization": f"Bearer {bearer}"}
    if bool(user) != bool(word):
        raise ConfigError(
            "a user and a password go together, and one of them is missing",
            hint='user = "name" and password = { env = "NAME" }',
        )
    if not word:
        return {}
    pair = b64encode(f"{user}:{word}".encode()).decode("ascii")
    return {"Authorization": f"Basic {pair}"}
