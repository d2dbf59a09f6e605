"""An export of Slack (a zip) in, a Markdown Source for each channel and day out."""

from __future__ import annotations

import html
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ragstack.errors import BrokenDocument, DocumentTooLarge, InputError, NotFound
from ragstack.types import Source
from ragstack_connectors.listed import Entry, ListedConnector, moment_of

__all__ = ["SlackConnector"]

_DAY = re.compile(r"(.+)/(\d{4}-\d\d-\d\d)\.json")
_REFERENCE = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
_SILENT = frozenset(
    ["channel_join", "channel_leave", "channel_archive", "group_join", "group_leave", "pinned_item"]
)
# A broken archive, a packing that is not known, a password.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)


class SlackConnector(ListedConnector):
    """Reads the messages of an export, as Slack makes it for a workspace.

    Args:
        path: The zip.
        workspace: Its name in addresses, ``slack://WORKSPACE/CHANNEL/DAY``; so that a later export
            brings the same documents anew, give it rather than rely on the file's name.
        channels: Names; none are all the public ones (``channels.json``).
        private: Private channels and conversations too, where the export holds them.
        readers: Users and groups who may see what comes from here; empty is everyone.
        max_bytes: Of one file in the zip, unpacked.

    Raises:
        NotFound: There is no such file.
        InputError: It is no zip.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        workspace: str = "",
        channels: Sequence[str] = (),
        private: bool = False,
        readers: Sequence[str] = (),
        max_bytes: int = 50_000_000,
    ) -> None:
        if isinstance(channels, str):
            raise InputError(f"channels is {channels!r}; a list of names was expected")
        self._path = Path(path).expanduser()
        if not self._path.is_file():
            raise NotFound(f"there is no file {str(path)!r}")
        if not zipfile.is_zipfile(self._path):
            raise InputError(f"{str(path)!r} is no zip", hint="give the export as Slack made it")
        self._workspace = workspace or self._path.stem
        self._channels = tuple(name.removeprefix("#") for name in channels)
        self._private = private
        self._readers = tuple(readers)
        self._max_bytes = max_bytes
        super().__init__(str(path))

    def entries(self, since: datetime | None) -> Iterator[Entry]:
        """Yield each channel's days, by channel and day."""
        try:
            opened = zipfile.ZipFile(self._path)
        except _UNREADABLE as error:
            raise BrokenDocument(f"{self._name!r} cannot be unpacked: {error}") from error
        with opened as export:
            names = self._names(export)
            wanted = self._wanted(export)
            for info in sorted(export.infolist(), key=lambda info: info.filename):
                found = _DAY.fullmatch(info.filename)
                if found and wanted(found[1]):
                    yield self._entry(export, info, found[1], found[2], names)

    def _wanted(self, export: zipfile.ZipFile) -> Any:
        public = {str(each.get("name")) for each in self._list(export, "channels.json")}
        if self._channels:
            known = public | {str(each.get("name")) for each in self._list(export, "groups.json")}
            missing = set(self._channels) - known
            if missing:
                raise InputError(
                    f"the export has no channel {min(missing)!r}; it has: "
                    f"{', '.join(sorted(known)) or 'none'}"
                )
        chosen = set(self._channels)
        if self._private:
            return lambda name: not chosen or name in chosen
        return lambda name: name in public and (not chosen or name in chosen)

    def _names(self, export: zipfile.ZipFile) -> dict[str, str]:
        found = {}
        for user in self._list(export, "users.json"):
            profile = user.get("profile") or {}
            name = profile.get("display_name") or profile.get("real_name") or user.get("name")
            found[str(user.get("id"))] = str(name)
        return found

    def _list(self, export: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
        if name not in export.namelist():
            return []
        return self._json(export, export.getinfo(name))

    def _json(self, export: zipfile.ZipFile, info: zipfile.ZipInfo) -> list[dict[str, Any]]:
        try:
            with export.open(info) as file:
                data = file.read(self._max_bytes + 1)
        except _UNREADABLE as error:
            raise BrokenDocument(f"{info.filename!r} cannot be unpacked: {error}") from error
        if len(data) > self._max_bytes:
            raise DocumentTooLarge(
                f"{info.filename!r} has more than {self._max_bytes:,} bytes", hint="raise max_bytes"
            )
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BrokenDocument(f"{info.filename!r} is no JSON: {error}") from error
        if not isinstance(found, list):
            raise BrokenDocument(f"{info.filename!r} holds no list")
        return [each for each in found if isinstance(each, dict)]

    def _entry(
        self,
        export: zipfile.ZipFile,
        info: zipfile.ZipInfo,
        channel: str,
        day: str,
        names: Mapping[str, str],
    ) -> Entry:
        uri = f"slack://{quote(self._workspace)}/{quote(channel)}/{day}"

        def read() -> Source:
            messages = self._json(export, info)
            text = _text(f"#{channel}, {day}", messages, names)
            last = max((_at(message) for message in messages), default=0.0)
            modified = moment_of(last) if last else moment_of(day)
            meta = {"title": f"#{channel}, {day}", "channel": channel, "date": day}
            return Source(uri, text.encode(), "text/markdown", modified, meta, self._readers)

        # A day's file says nothing of edits; the export's own moment does not change with it.
        return Entry(uri, moment_of(f"{day}T23:59:59"), read)


def _at(message: Mapping[str, Any]) -> float:
    try:
        return float(message.get("ts") or 0)
    except (TypeError, ValueError):
        return 0.0


def _text(title: str, messages: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Return a day's messages, each thread's replies below the message they answer."""
    shown = [m for m in messages if m.get("subtype") not in _SILENT and _words(m, names)]
    threads: dict[object, list[Mapping[str, Any]]] = {}
    here = {m.get("ts") for m in shown}
    for message in shown:
        parent = message.get("thread_ts")
        if parent and parent != message.get("ts") and parent in here:
            threads.setdefault(parent, []).append(message)
    lines = [f"# {title}"]
    for message in sorted(shown, key=_at):
        parent = message.get("thread_ts")
        if parent and parent != message.get("ts") and parent in here:
            continue
        lines.append(_line(message, names))
        replies = sorted(threads.get(message.get("ts"), ()), key=_at)
        lines += [
            "\n".join(f"> {line}".rstrip() for line in _line(reply, names).splitlines())
            for reply in replies
        ]
    return "\n\n".join(lines) + "\n"


def _line(message: Mapping[str, Any], names: Mapping[str, str]) -> str:
    at = datetime.fromtimestamp(_at(message), UTC)
    user = str(message.get("user") or message.get("bot_id") or "")
    profile = message.get("user_profile") or {}
    who = names.get(user) or profile.get("real_name") or message.get("username") or user or "?"
    return f"**{who}** {at:%H:%M}: {_words(message, names)}"


def _words(message: Mapping[str, Any], names: Mapping[str, str]) -> str:
    def named(found: re.Match[str]) -> str:
        mark, target, label = found.groups()
        if mark == "@":
            return f"@{label or names.get(target, target)}"
        if mark == "#":
            return f"#{label or target}"
        if mark == "!":
            return f"@{label or target.partition('^')[0]}"
        return f"[{label}]({target})" if label and label != target else target

    text = _REFERENCE.sub(named, str(message.get("text") or ""))
    files = [str(each.get("title") or each.get("name")) for each in message.get("files") or ()]
    attached = f" [files: {', '.join(files)}]" if files else ""
    return (html.unescape(text) + attached).strip()
