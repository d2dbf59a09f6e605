"""A git repository in, Sources out: the files of a branch, each with its last commit.

A repository elsewhere is copied to this machine's cache first, and brought up to date after.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ragstack.errors import InputError, NotFound
from ragstack.types import Failure, Gone, Source
from ragstack_connectors.choose import Chosen, Known, is_older
from ragstack_connectors.credentials import Env, plain_url, secret
from ragstack_connectors.files import media_type_of
from ragstack_connectors.gitlog import Entry, Repository

__all__ = ["GitConnector"]

# user@host:path, as ssh is written for git; a name never begins with a hyphen.
_SSH = re.compile(r"[A-Za-z0-9_.][\w.-]*@[A-Za-z0-9_][\w.-]*:(?!:)[^\s-][^\s]*")
_BRANCH = re.compile(r"[\w][\w./+@=-]*")
_TRUSTED_FOR = timedelta(hours=1)  # how much older ``since`` may be than the state


class GitConnector:
    """Reads the files of one branch; history says what changed, who changed it, and what has gone.

    Args:
        url: An address of https or ssh (``git@host:owner/name.git``), or a folder of this machine.
        branch: A branch, tag or commit; empty is the repository's own.
        token: For https: ``{ env = "NAME" }``.
        user: Goes with the token, where the service wants a certain one.
        include: Only these paths, in the syntax of ``.gitignore``; empty is all.
        exclude: Not these.
        max_bytes: A larger file is a failure.
        cache: Folder for copies; empty is ragstack's cache.

    Attributes:
        failures: As of every connector; so are ``present`` and ``state``.

    Raises:
        InputError: An address or a branch that could be taken for something else.
        NotFound: No such folder.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        url: str,
        *,
        branch: str = "",
        token: Env | None = None,
        user: str = "",
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        max_bytes: int = 20_000_000,
        cache: str = "",
    ) -> None:
        if branch and (not _BRANCH.fullmatch(branch) or ".." in branch):
            raise InputError(
                f"branch is {branch!r}; the name of a branch, tag or commit is expected"
            )
        self._chosen = Chosen(include, exclude)
        self._branch, self._max_bytes = branch, max_bytes
        self._remote, self.address = _place(url)
        key = secret(token, option="token")
        if key and urlsplit(self._remote).scheme != "https":
            raise InputError("a token is only ever sent over https", hint="leave it out for ssh")
        name = hashlib.sha256(self._remote.encode()).hexdigest()[:24]
        folder = _cache(cache) / name if self._remote else Path(self.address)
        self._repository = Repository(folder, token=key, user=user)
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None
        self.state: Mapping[str, Any] = {}

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield the branch's files by path; after ``since``, what was committed, and what went.

        Raises:
            RemoteError: The repository cannot be read, or has no such branch.
        """
        self.failures, self.present = [], None
        begun, repository = datetime.now(UTC), self._repository
        if self._remote:
            repository.mirror(self._remote)
        head = repository.head(self._branch)
        entries = [e for e in repository.tree(head) if self._chosen.wants(e.path)]
        there = {entry.path for entry in entries}
        changed, gone = self._since(since, head)
        for path in sorted(path for path in gone - there if self._chosen.wants(path)):
            yield Gone(self._uri(path))
        yield from self._sources(head, entries, changed, since)
        self.present = frozenset(self._uri(path) for path in there)
        self.state = {"head": head, "at": begun.isoformat()}

    def _since(self, since: datetime | None, head: str) -> tuple[set[str] | None, set[str]]:
        """Return the paths to look at (None for all), and those that may have gone."""
        if since is None:
            return None, set()
        old, at = self.state.get("head"), self.state.get("at")
        moment = since if since.tzinfo else since.replace(tzinfo=UTC)
        # What was pushed yesterday may have been committed last year: the two commits know better
        # than dates, where the state is of the time that is asked for.
        recent = at and moment >= datetime.fromisoformat(at) - _TRUSTED_FOR
        if old and recent and self._repository.has(old):
            changed = self._repository.changed(old, head)
            return changed, changed
        return None, self._repository.deleted(head, moment)

    def _sources(
        self, head: str, entries: list[Entry], changed: set[str] | None, since: datetime | None
    ) -> Iterator[Source]:
        wanted = [e for e in entries if changed is None or e.path in changed or self._is_new(e)]
        commits = self._repository.last_commits(head, {entry.path for entry in wanted})
        kept = []
        for entry in wanted:
            commit = commits.get(entry.path)
            at = commit.at if commit else None
            if changed is None and is_older(self._uri(entry.path), at, since, self.known):
                continue
            if entry.size > self._max_bytes:
                self.failures.append(
                    Failure(
                        self._uri(entry.path),
                        f"it has {entry.size:,} bytes; the limit is {self._max_bytes:,}",
                    )
                )
                continue
            kept.append(entry)
        for entry, data in self._repository.blobs(kept):
            commit = commits.get(entry.path)
            meta = (
                {"author": commit.author, "date": commit.at.isoformat(), "commit": commit.name}
                if commit
                else {}
            )
            yield Source(
                self._uri(entry.path),
                data,
                media_type=media_type_of(entry.path),
                modified=commit.at if commit else None,
                meta={**meta, "path": entry.path},
            )

    def _is_new(self, entry: Entry) -> bool:
        return self.known is not None and self._uri(entry.path) not in self.known

    def _uri(self, path: str) -> str:
        return f"{self.address}#{self._branch}:{path}" if self._branch else f"{self.address}#{path}"

    def __repr__(self) -> str:
        return f"GitConnector({self.address!r}, branch={self._branch!r})"


def _place(url: str) -> tuple[str, str]:
    """Return what git is given to copy from, empty for a folder of this machine; and the address.

    Raises:
        InputError: Neither an address nor a folder.
        NotFound: No such folder.
    """
    if _SSH.fullmatch(url):
        return url, url
    if "://" in url:
        if url.startswith("ssh://") and urlsplit(url).password is None:
            host = urlsplit(url).hostname or "-"
            if host.startswith("-"):
                raise InputError(f"url is {url!r}; an address with a host was expected")
            return url, url
        plain_url(url, schemes=("https", "http", "ssh"))
        return url, url
    if url.startswith("-") or "::" in url or "@-" in url:
        raise InputError(
            f"url is {url!r}; an address of https or ssh, or a folder, was expected",
            hint="what begins with a hyphen or names a helper program is not given to git",
        )
    folder = Path(url).expanduser().resolve()
    if not folder.is_dir():
        raise NotFound(f"there is no folder {url!r}", hint="a repository elsewhere has an address")
    return "", folder.as_posix()


def _cache(folder: str) -> Path:
    if folder:
        return Path(folder).expanduser().resolve()
    own = os.environ.get("RAGSTACK_CACHE")
    if own:
        return Path(own).expanduser() / "git"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ragstack" / "git"
