"""Folders of an IMAP account in, a Source for each mail out. Nothing there is marked or changed.

A mail's address is that of RFC 5092, with the folder's UIDVALIDITY: where a server gives its mails
new numbers, the old addresses have gone and none comes to mean another mail.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ragstack.errors import ConfigError, InputError, RemoteError
from ragstack.types import Failure, Gone, Source
from ragstack_connectors.choose import Known, is_older
from ragstack_connectors.credentials import Env, scrubbed, secret

__all__ = ["ImapConnector"]

_PORTS = {"tls": 993, "starttls": 143, "none": 143}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)")
_VALIDITY = re.compile(rb"(\d+)")
_LISTED = re.compile(rb'\((?P<flags>[^)]*)\) (?:"[^"]*"|NIL) (?P<name>.+)', re.S)


@dataclass(frozen=True, slots=True)
class _Mail:
    uid: int
    size: int
    at: datetime | None
    deleted: bool


class ImapConnector:
    """Reads the mails of some folders, oldest first.

    Args:
        host: The server.
        user: The account.
        password: ``{ env = "NAME" }``; most services make one for each app.
        token: An OAuth token in its place.
        folders: Their names; ``*`` is every folder but those of junk, drafts and what was deleted.
        security: ``tls``, ``starttls``, or ``none``, which only a server of this machine is asked
            with.
        port: Where it is another than usual.
        max_bytes: A larger mail is a failure.
        timeout_s: Seconds of silence.

    Raises:
        InputError: An option that cannot be used.
        ConfigError: No password and no token.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        host: str,
        *,
        user: str,
        password: Env | None = None,
        token: Env | None = None,
        folders: Sequence[str] = ("INBOX",),
        security: str = "tls",
        port: int = 0,
        max_bytes: int = 50_000_000,
        timeout_s: float = 60.0,
    ) -> None:
        if security not in _PORTS:
            raise InputError(f"security is {security!r}; one of {', '.join(_PORTS)} was expected")
        if security == "none" and host not in _LOOPBACK:
            raise InputError(
                f"security is 'none', which would send the password to {host!r} for all to read",
                hint='security = "tls" or "starttls"',
            )
        if isinstance(folders, str) or not folders:
            raise InputError(f"folders is {folders!r}; a list of names was expected")
        if any(not text.isprintable() for text in (host, user, *folders)):
            raise InputError("host, user and folders are text without line ends")
        self._password = secret(password, option="password")
        self._token = secret(token, option="token")
        if bool(self._password) == bool(self._token):
            raise ConfigError(
                f"the account {user!r} needs a password or a token, and one of them only",
                hint='password = { env = "NAME" }',
            )
        self._host, self._user, self._folders = host, user, tuple(folders)
        self._security, self._port = security, port or _PORTS[security]
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None
        self.state: Mapping[str, Any] = {}

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the mails of each folder by number; those that came after ``since``, if given.

        Raises:
            RemoteError: The server cannot be reached, or does not let the user in.
        """
        self.failures, self.present = [], None
        met: set[str] = set()
        state: dict[str, Any] = {}
        whole = True
        with self._opened() as server:
            for folder in self._named(server):
                try:
                    yield from self._mails(server, folder, since, met, state)
                except _FolderRefused as error:
                    whole = False
                    self.failures.append(Failure(self._address(folder, 0), str(error)))
        self.present = frozenset(met) if whole else None
        self.state = state

    def _mails(
        self,
        server: imaplib.IMAP4,
        folder: str,
        since: datetime | None,
        met: set[str],
        state: dict[str, Any],
    ) -> Iterator[Source]:
        validity = self._selected(server, folder)
        before = self.state.get(folder, {})
        # A mail that was moved here keeps the date it came with, and gets a number above these.
        least = before.get("next", 0) if before.get("validity") == validity else 0
        following = 1
        for mail in self._listed(server, folder):
            following = max(following, mail.uid + 1)
            if mail.deleted:
                continue
            uri = f"{self._address(folder, validity)}/;UID={mail.uid}"
            met.add(uri)
            seen = not least or mail.uid < least
            if seen and is_older(uri, mail.at, since, self.known):
                continue
            if mail.size > self._max_bytes:
                limit = f"it has {mail.size:,} bytes; the limit is {self._max_bytes:,}"
                self.failures.append(Failure(uri, limit))
                continue
            data = self._body(server, mail.uid)
            if data is None:
                met.discard(uri)  # deleted since it was listed
                continue
            yield Source(uri, data, "message/rfc822", mail.at, {"folder": folder})
        state[folder] = {"validity": validity, "next": max(following, least)}

    def _selected(self, server: imaplib.IMAP4, folder: str) -> int:
        self._asked(lambda: server.select(_quoted(folder), readonly=True), folder)
        said = server.response("UIDVALIDITY")[1]
        found = _VALIDITY.search(said[0]) if said and isinstance(said[0], bytes) else None
        if found is None:
            raise _FolderRefused("the server gives its mails no lasting numbers (UIDVALIDITY)")
        return int(found[1])

    def _listed(self, server: imaplib.IMAP4, folder: str) -> list[_Mail]:
        wanted = "(UID INTERNALDATE RFC822.SIZE FLAGS)"
        if not int((server.response("EXISTS")[1] or [b"0"])[0] or 0):
            return []
        lines = self._asked(lambda: server.uid("FETCH", "1:*", wanted), folder)
        found = {}
        for line in lines:
            text = line if isinstance(line, bytes) else b" ".join(line or ())
            uid, size, flags = (pattern.search(text) for pattern in (_UID, _SIZE, _FLAGS))
            if uid:
                number = int(uid[1])
                deleted = bool(flags and b"\\deleted" in flags[1].lower())
                found[number] = _Mail(number, int(size[1]) if size else 0, _date(text), deleted)
        return [found[uid] for uid in sorted(found)]

    def _body(self, server: imaplib.IMAP4, uid: int) -> bytes | None:
        lines = self._asked(lambda: server.uid("FETCH", str(uid), "(UID BODY.PEEK[])"), "")
        for line in lines:
            if isinstance(line, tuple) and len(line) > 1:
                return bytes(line[1])
        return None

    def _named(self, server: imaplib.IMAP4) -> list[str]:
        """Return the names of the folders that are wanted."""
        if "*" not in self._folders:
            return list(dict.fromkeys(self._folders))
        found = []
        for line in self._asked(lambda: server.list(), ""):
            text = line if isinstance(line, bytes) else b" ".join(line or ())
            match = _LISTED.match(text)
            if match and not _left_out(match["flags"]):
                found.append(_name(match["name"]))
        return sorted(found)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[imaplib.IMAP4]:
        server = None
        try:
            server = self._connected()
            if self._token:
                said = f"user={self._user}\1auth=Bearer {self._token}\1\1"
                server.authenticate("XOAUTH2", lambda _challenge: said.encode())
            else:
                server._encoding = "utf-8"  # type: ignore[attr-defined]
                server.login(self._user, self._password)
            yield server
        except (imaplib.IMAP4.error, OSError, ValueError) as error:
            raise self._translated(error) from None
        finally:
            if server is not None:
                with contextlib.suppress(imaplib.IMAP4.error, OSError):
                    server.logout()

    def _connected(self) -> imaplib.IMAP4:
        if self._security == "tls":
            secure = ssl.create_default_context()
            return imaplib.IMAP4_SSL(
                self._host, self._port, ssl_context=secure, timeout=self._timeout_s
            )
        server = imaplib.IMAP4(self._host, self._port, timeout=self._timeout_s)
        if self._security == "starttls":
            server.starttls(ssl.create_default_context())
        return server

    def _asked(self, ask: Any, folder: str) -> list[Any]:
        status, lines = ask()
        if status != "OK":
            said = lines[0] if lines and isinstance(lines[0], bytes) else b""
            reason = scrubbed(said.decode("utf-8", "replace"), self._secrets)
            raise _FolderRefused(f"the folder {folder!r} cannot be read: {reason[:200]}")
        return [line for line in lines if line is not None and line != b")"]

    @property
    def _secrets(self) -> list[str]:
        plain = [each for each in (self._password, self._token) if each]
        return plain + [b64encode(each.encode()).decode("ascii") for each in plain]

    def _translated(self, error: Exception) -> RemoteError:
        said = error.args[0] if error.args else ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)
        reason = scrubbed(text, self._secrets)[:200] or type(error).__name__
        return RemoteError(
            f"the mail server {self._host!r} does not answer as it should: {reason}",
            hint="check the host, the user and the password; some services want one for each app",
            retryable=isinstance(error, (OSError, imaplib.IMAP4.abort)),
        )

    def _address(self, folder: str, validity: int) -> str:
        place = f"imap://{quote(self._user)}@{self._host}/{quote(folder, safe='/')}"
        return f"{place};UIDVALIDITY={validity}" if validity else place

    def __repr__(self) -> str:
        return f"ImapConnector({self._host!r}, user={self._user!r}, folders={self._folders!r})"


class _FolderRefused(Exception):
    """One folder cannot be read; the others are."""


def _quoted(folder: str) -> str:
    text = _utf7(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _utf7(text: str) -> str:
    """Return a folder's name as IMAP writes it (RFC 3501, 5.1.3: modified UTF-7)."""
    pieces = re.split(r"([^\x20-\x7e]+)", text)
    for at, piece in enumerate(pieces):
        if at % 2:
            word = b64encode(piece.encode("utf-16-be")).decode("ascii")
            pieces[at] = "&" + word.rstrip("=").replace("/", ",") + "-"
        else:
            pieces[at] = piece.replace("&", "&-")
    return "".join(pieces)


def _name(written: bytes) -> str:
    """Return the name that a listing's last word means."""
    text = written.strip().decode("ascii", "replace")
    if text.startswith('"') and text.endswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])

    def plain(found: re.Match[str]) -> str:
        word = found[1].replace(",", "/")
        wide = b64decode(word + "=" * (-len(word) % 4))
        return wide.decode("utf-16-be", "replace") if word else "&"

    return re.sub(r"&([A-Za-z0-9+,]*)-", plain, text)


def _left_out(flags: bytes) -> bool:
    words = {word.lower() for word in flags.split()}
    return not words.isdisjoint(
        {b"\\noselect", b"\\nonexistent", b"\\junk", b"\\trash", b"\\drafts"}
    )


def _date(text: bytes) -> datetime | None:
    found = imaplib.Internaldate2tuple(text)
    try:
        return datetime.fromtimestamp(time.mktime(found), UTC) if found else None
    except (ValueError, OverflowError):
        return None
