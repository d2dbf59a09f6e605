"""Files and folders of this machine in, Sources out. Knows nothing of what is in a file.

An address is the file's absolute, resolved path with forward slashes.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pathspec

from ragstack.errors import InputError, NotFound
from ragstack.types import Failure, Gone, Source
from ragstack_connectors.choose import Known

__all__ = ["SKIPPED_FOLDERS", "FilesConnector", "media_type_of"]

SKIPPED_FOLDERS = frozenset(
    [".git", ".hg", ".svn", ".bzr", "_darcs", "CVS", ".jj", ".ragstack", "__pycache__"]
)
_MEDIA_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".jsonl": "application/jsonl",
    ".epub": "application/epub+zip",
    ".eml": "message/rfc822",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


class FilesConnector:
    """Walks files and folders in sorted order and yields what is in them.

    Version control folders and the base folder (``.ragstack``) are always skipped; hidden files and
    what an ignore file names (the syntax of ``.gitignore``, each file for its own folder and those
    below) unless a path names them itself.

    Args:
        paths: Files and folders.
        ignore_file: Name of the ignore files; an empty string for none.
        hidden: Read files and folders whose name begins with a dot.
        follow_links: Walk into linked folders. Linked files are always read.
        max_bytes: A larger file is a failure, reported without being read.

    Attributes:
        failures: Files that could not be read, and why; grows while fetching, and starts anew with
            each fetch.
        present: After a fetch to its end, the addresses of all files; None where a folder could not
            be read, so that what is in it is not taken for gone.
        known: Addresses that the caller has; others are yielded whatever their date. None is all.

    Raises:
        NotFound: A path is not there.
        InputError: ``paths`` is one text and not a sequence of paths, or names nothing.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        ignore_file: str = ".ragignore",
        hidden: bool = False,
        follow_links: bool = False,
        max_bytes: int = 200_000_000,
    ) -> None:
        if isinstance(paths, (str, Path)):
            raise InputError(
                f"paths is {paths!r}; a sequence of paths was expected", hint=f"[{str(paths)!r}]"
            )
        self._roots = [_resolved(path) for path in paths]
        self._ignore_file = ignore_file
        self._hidden = hidden
        self._follow_links = follow_links
        self._max_bytes = max_bytes
        self.failures: list[Failure] = []
        self.present: frozenset[str] | None = None
        self.known: Known = None
        self._blind = False  # a folder could not be read

    @property
    def roots(self) -> tuple[str, ...]:
        """Where it reads: files and folders, resolved, with forward slashes."""
        return tuple(root.as_posix() for root in self._roots)

    def fetch(self, *, since: datetime | None = None) -> Iterator[Source | Gone]:
        """Yield each file once, in sorted order; only those modified after ``since`` if given.

        A file that cannot be read is added to ``failures`` and does not end the iteration. What is
        gone is not known here: the caller compares addresses.
        """
        self.failures = []
        self.present, self._blind = None, False
        after = _timestamp(since)
        seen: set[str] = set()
        for root in self._roots:
            for path in self._walk(root):
                address = path.as_posix()
                if address in seen:
                    continue
                seen.add(address)
                has = self.known is None or address in self.known
                source = self._read(path, address, after if has else None)
                if source is not None:
                    yield source
        self.present = None if self._blind else frozenset(seen)

    def _walk(self, root: Path) -> Iterator[Path]:
        if not root.is_dir():
            yield root
            return
        rules = self._rules_above(root)
        # A stack of its own: folders may be nested deeper than the interpreter's.
        open_folders = [self._opened(root, rules, frozenset())]
        while open_folders:
            folder = open_folders[-1]
            entry = next(folder.entries, None)
            if entry is None:
                open_folders.pop()
                continue
            path = folder.path / entry.name
            is_folder = _is_folder(entry)
            if self._is_skipped(entry.name) or _ignored(folder.rules, path, is_folder):
                continue
            if not is_folder:
                yield from self._file(path)
            elif self._follow_links or not entry.is_symlink():
                open_folders.append(self._opened(path, folder.rules, folder.above))

    def _opened(
        self, path: Path, rules: tuple[_Rules, ...], above: frozenset[tuple[int, int]]
    ) -> _Folder:
        try:
            status = path.stat()
            identity = (status.st_dev, status.st_ino)
            # A link to a folder above would be walked for ever.
            entries = [] if identity in above else sorted(os.scandir(path), key=lambda e: e.name)
        except OSError as error:
            self._blind = True
            self._fail(_address(path), error)
            return _Folder(path, iter(()), (), above)
        return _Folder(path, iter(entries), (*rules, *self._rules(path)), above | {identity})

    def _file(self, path: Path) -> Iterator[Path]:
        try:
            resolved = path.resolve()
            resolved.as_posix().encode()
        except (OSError, RuntimeError) as error:
            self._fail(_address(path), error)
        except UnicodeEncodeError:
            self.failures.append(
                Failure(_address(path), "its name is no text in the encoding of this system")
            )
        else:
            yield resolved

    def _is_skipped(self, name: str) -> bool:
        if name in SKIPPED_FOLDERS or (self._ignore_file and name == self._ignore_file):
            return True
        return name.startswith(".") and not self._hidden

    def _rules(self, folder: Path) -> tuple[_Rules, ...]:
        if not self._ignore_file:
            return ()
        path = folder / self._ignore_file
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            self._fail(_address(path), error)
            return ()
        return (_Rules(folder, lines),)

    def _rules_above(self, root: Path) -> tuple[_Rules, ...]:
        # A folder keeps to the rules of the folders above it, as in git; one that they would ignore
        # was asked for by name, and so is read without them.
        rules: tuple[_Rules, ...] = ()
        for folder in reversed(root.parents):
            if os.access(folder, os.R_OK):
                rules = (*rules, *self._rules(folder))
        return () if _ignored(rules, root, True) else rules

    def _read(self, path: Path, address: str, after: float | None) -> Source | None:
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            if after is not None and status.st_mtime <= after:
                return None
            if status.st_size > self._max_bytes:
                raise OSError(
                    errno.EFBIG,
                    f"it has {status.st_size:,} bytes; the limit is {self._max_bytes:,}",
                )
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            self._fail(address, error)
            return None
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return Source(address, data, media_type=media_type_of(path.name), modified=modified)

    def _fail(self, address: str, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.failures.append(Failure(address, f"it cannot be read: {reason}"))


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that is being walked, with the rules that hold in it and the folders above it."""

    path: Path
    entries: Iterator[os.DirEntry[str]]
    rules: tuple[_Rules, ...]
    above: frozenset[tuple[int, int]]


class _Rules:
    """One ignore file: its patterns, which speak of paths below its folder."""

    def __init__(self, folder: Path, lines: Sequence[str]) -> None:
        self._folder = folder
        self._spec = pathspec.GitIgnoreSpec.from_lines(_usable(lines))

    def verdict(self, path: Path, is_folder: bool) -> bool | None:
        """Return True for ignored, False for taken back by ``!``, None for not mentioned."""
        name = path.relative_to(self._folder).as_posix() + "/" * is_folder
        return self._spec.check_file(name).include


def _ignored(rules: Sequence[_Rules], path: Path, is_folder: bool) -> bool:
    # The nearest ignore file that mentions a path decides.
    for each in reversed(rules):
        verdict = each.verdict(path, is_folder)
        if verdict is not None:
            return verdict
    return False


def _usable(lines: Sequence[str]) -> list[str]:
    # Git ignores a pattern it cannot read; one bad line must not switch off the others.
    kept = []
    for line in lines:
        try:
            pathspec.GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        kept.append(line)
    return kept


def _resolved(path: str | Path) -> Path:
    try:
        return Path(path).expanduser().resolve(strict=True)
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no file or folder {str(path)!r}", hint="check the path, or create it first"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise NotFound(f"the path {str(path)!r} cannot be used: {error}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _address(path: Path) -> str:
    # A name that is no text in the system's encoding is told with its bytes escaped.
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def media_type_of(name: str) -> str:
    """Return the media type that a file's name speaks of, or an empty text."""
    suffix = PurePosixPath(name).suffix.lower()
    return _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name, strict=False)[0] or ""


def _timestamp(since: datetime | None) -> float | None:
    if since is None:
        return None
    return (since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp()
