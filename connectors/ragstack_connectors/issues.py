"""Issues of GitHub and GitLab in, Markdown Sources out: what was said, by whom and when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ragstack.errors import InputError, RemoteError
from ragstack.types import Scalar, Source
from ragstack_connectors.credentials import Env, plain_url, secret
from ragstack_connectors.http import Fetcher, Limits
from ragstack_connectors.listed import Entry, ListedConnector, field_of, moment_of

__all__ = ["GithubConnector", "GitlabConnector", "next_link"]

_SIZE = 100
_NEXT = re.compile(r'<([^<>]*)>\s*;[^,]*?\brel\s*=\s*"?next\b')
_PART = re.compile(r"(?!\.+\Z)[A-Za-z0-9_.-]+")
_STATES = ("open", "closed", "all")


@dataclass(frozen=True, slots=True)
class _Said:
    """A comment."""

    author: str
    at: str
    text: str


class GithubConnector(ListedConnector):
    """Reads the issues of a repository on GitHub, with their comments.

    With ``since``, GitHub is asked for what changed; issues that were deleted or moved away are
    noticed by a fetch without it.

    Args:
        repository: ``owner/name``.
        token: ``{ env = "NAME" }``; none reads what is public, sixty requests an hour.
        state: ``open``, ``closed`` or ``all``.
        pulls: Pull requests too, which GitHub lists among the issues.
        comments: Read them.
        url: Of the API; ``https://HOST/api/v3`` for a server of your own.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        repository: str,
        *,
        token: Env | None = None,
        state: str = "all",
        pulls: bool = False,
        comments: bool = True,
        url: str = "https://api.github.com",
        allow_private: bool = False,
    ) -> None:
        parts = repository.split("/")
        if len(parts) != 2 or not all(_PART.fullmatch(part) for part in parts):
            raise InputError(f"repository is {repository!r}; 'owner/name' was expected")
        self._state = _checked_state(state)
        self._pulls, self._comments = pulls, comments
        self._url = plain_url(url).rstrip("/")
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {secret(token, option='token')}"
        self._api = Fetcher(Limits(), headers, allow_private, origin=self._url)
        self._issues = f"{self._url}/repos/{repository}/issues"
        super().__init__(self._issues, self._api)

    def lists_all(self, since: datetime | None) -> bool:
        """Return False: with ``since`` only what changed is listed."""
        return False

    def entries(self, since: datetime | None) -> Iterator[Entry]:
        """Yield issues by number."""
        params = {
            "state": self._state,
            "per_page": _SIZE,
            "sort": "created",
            "direction": "asc",
            **({"since": since.strftime("%Y-%m-%dT%H:%M:%SZ")} if since else {}),
        }
        for issue in _paged(self._api, self._issues, params):
            if issue.get("number") and (self._pulls or "pull_request" not in issue):
                yield self._entry(issue)

    def _entry(self, issue: Mapping[str, Any]) -> Entry:
        number = int(issue["number"])
        uri = str(issue.get("html_url") or f"{self._issues}/{number}")
        modified = moment_of(issue.get("updated_at"))

        def read() -> Source:
            said = []
            if self._comments and issue.get("comments"):
                place = f"{self._issues}/{number}/comments"
                said = [
                    _Said(
                        str(field_of(comment, "user.login") or ""),
                        str(comment.get("created_at", "")),
                        str(comment.get("body") or ""),
                    )
                    for comment in _paged(self._api, place, {"per_page": _SIZE})
                ]
            labels = [str(field_of(each, "name") or each) for each in issue.get("labels", [])]
            meta = _meta(issue, number, str(field_of(issue, "user.login") or ""), labels)
            text = _text(str(issue.get("title", "")), str(issue.get("body") or ""), said)
            return Source(uri, text.encode(), "text/markdown", modified, meta)

        return Entry(uri, modified, read)


class GitlabConnector(ListedConnector):
    """Reads the issues of a project on GitLab, with their comments.

    With ``since``, GitLab is asked for what changed; issues that were deleted are noticed by a
    fetch without it.

    Args:
        project: ``group/name``, or its number.
        token: ``{ env = "NAME" }``; none reads what is public.
        state: ``open``, ``closed`` or ``all``.
        confidential: Those too that GitLab shows to some members alone.
        comments: Read them; what GitLab itself notes (labels, assignees) is left out.
        url: Of the server.
    """

    def __init__(  # noqa: PLR0913 (options of one table)
        self,
        project: str | int,
        *,
        token: Env | None = None,
        state: str = "all",
        confidential: bool = False,
        comments: bool = True,
        url: str = "https://gitlab.com",
        allow_private: bool = False,
    ) -> None:
        if not str(project).strip("/"):
            raise InputError(f"project is {project!r}; 'group/name' or a number was expected")
        self._state = {"open": "opened"}.get(_checked_state(state), state)
        self._confidential, self._comments = confidential, comments
        self._url = plain_url(url).rstrip("/")
        headers = {"PRIVATE-TOKEN": secret(token, option="token")} if token else {}
        self._api = Fetcher(Limits(), headers, allow_private, origin=self._url)
        self._issues = f"{self._url}/api/v4/projects/{quote(str(project), safe='')}/issues"
        super().__init__(self._issues, self._api)

    def lists_all(self, since: datetime | None) -> bool:
        """Return False: with ``since`` only what changed is listed."""
        return False

    def entries(self, since: datetime | None) -> Iterator[Entry]:
        """Yield issues in the order in which they were opened."""
        params = {
            "scope": "all",
            "state": self._state,
            "per_page": _SIZE,
            "order_by": "created_at",
            "sort": "asc",
            **({"updated_after": since.isoformat()} if since else {}),
        }
        for issue in _paged(self._api, self._issues, params):
            if issue.get("iid") and (self._confidential or not issue.get("confidential")):
                yield self._entry(issue)

    def _entry(self, issue: Mapping[str, Any]) -> Entry:
        number = int(issue["iid"])
        uri = str(issue.get("web_url") or f"{self._issues}/{number}")
        modified = moment_of(issue.get("updated_at"))

        def read() -> Source:
            said = []
            if self._comments and issue.get("user_notes_count"):
                place = f"{self._issues}/{number}/notes"
                params = {"per_page": _SIZE, "sort": "asc", "order_by": "created_at"}
                said = [
                    _Said(
                        str(field_of(note, "author.username") or ""),
                        str(note.get("created_at", "")),
                        str(note.get("body") or ""),
                    )
                    for note in _paged(self._api, place, params)
                    if not note.get("system")
                    and (
                        self._confidential or not (note.get("internal") or note.get("confidential"))
                    )
                ]
            labels = [str(label) for label in issue.get("labels", [])]
            meta = _meta(issue, number, str(field_of(issue, "author.username") or ""), labels)
            text = _text(str(issue.get("title", "")), str(issue.get("description") or ""), said)
            return Source(uri, text.encode(), "text/markdown", modified, meta)

        return Entry(uri, modified, read)


def next_link(header: str) -> str:
    """Return the address that a ``Link`` header calls ``next`` (RFC 8288); empty for none."""
    found = _NEXT.search(header)
    return found[1] if found else ""


def _paged(api: Fetcher, url: str, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    asked: Mapping[str, Any] = params
    while url:
        reply = api.get(url, asked)
        found = reply.json()
        if not isinstance(found, list):
            raise RemoteError(f"a list was expected from {url.partition('?')[0]}")
        yield from (each for each in found if isinstance(each, dict))
        url, asked = next_link(reply.headers.get("link", "")), {}


def _checked_state(state: str) -> str:
    if state not in _STATES:
        raise InputError(f"state is {state!r}; known: {', '.join(_STATES)}")
    return state


def _meta(
    issue: Mapping[str, Any], number: int, author: str, labels: list[str]
) -> dict[str, Scalar]:
    return {
        "title": str(issue.get("title", "")),
        "author": author,
        "date": str(issue.get("created_at", "")),
        "number": number,
        "state": str(issue.get("state", "")),
        "labels": ", ".join(labels),
    }


def _text(title: str, body: str, said: list[_Said]) -> str:
    parts = [f"# {title}", body.strip()]
    parts += [f"## {one.author}, {one.at[:10]}\n\n{one.text.strip()}" for one in said]
    return "\n\n".join(part for part in parts if part) + "\n"
