"""A folder with a git repository in, commits, trees and blobs out, by the `git` command.

What a repository brings along is not run: no hooks, no filters, no programs of its configuration;
and nothing of an address is taken for an option.
"""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ragstack.errors import ConfigError, RemoteError
from ragstack_connectors.credentials import scrubbed

__all__ = ["Commit", "Entry", "Repository"]

_FETCH_S = 1_800.0
_OURS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG")
_SAFE = (
    *(
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "protocol.ext.allow=never",
    ),
    *("-c", "core.quotePath=false", "-c", "log.showSignature=false", "-c", "gc.auto=0"),
)
_START = "\x1e"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree: its path, the blob's name, and its bytes."""

    path: str
    blob: str
    size: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The last commit that touched a file."""

    name: str
    author: str
    at: datetime


class Repository:
    """A repository on this disk, or one that is being copied to it.

    Args:
        folder: The repository, or its ``.git``.
        token: For https; sent to no other server.
        user: Goes with the token; most services take any.
    """

    def __init__(self, folder: Path, *, token: str = "", user: str = "") -> None:
        self.folder = folder
        self._secrets = [token] if token else []
        self._environment = {k: v for k, v in os.environ.items() if k not in _FOREIGN} | _OURS
        if token:
            pair = b64encode(f"{user or 'x-access-token'}:{token}".encode()).decode("ascii")
            self._secrets.append(pair)
            # By the environment, for every user of a machine reads the arguments of its programs.
            self._environment |= {
                "GIT_CONFIG_COUNT": "2",
                "GIT_CONFIG_KEY_0": "http.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {pair}",
                "GIT_CONFIG_KEY_1": "http.followRedirects",
                "GIT_CONFIG_VALUE_1": "false",
            }

    def mirror(self, url: str) -> None:
        """Make the folder a bare copy of another repository, or bring it up to date.

        Raises:
            RemoteError: The other one cannot be read.
        """
        if not (self.folder / "HEAD").is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._run("init", "--quiet", "--bare", "--", str(self.folder), there=False)
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self._run("fetch", "--quiet", "--prune", "--no-tags", "--", url, *refs)
        said = self._run("ls-remote", "--symref", "--", url, "HEAD")
        first = said.split("\n", 1)[0].split()
        if len(first) > 1 and first[0] == "ref:" and first[1].startswith("refs/heads/"):
            self._run("symbolic-ref", "HEAD", first[1])

    def head(self, branch: str) -> str:
        """Return the name of the commit that a branch, tag or commit means; empty for HEAD.

        Raises:
            RemoteError: There is none.
        """
        wanted = f"{branch or 'HEAD'}^{{commit}}"
        return self._run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted).strip()

    def has(self, commit: str) -> bool:
        """Return whether a commit is here."""
        try:
            self._run("cat-file", "-e", f"{commit}^{{commit}}")
        except RemoteError:
            return False
        return True

    def tree(self, commit: str) -> list[Entry]:
        """Return the files of a commit, by path; links and other repositories are none."""
        found = []
        for line in self._run("ls-tree", "-r", "-l", "-z", "--full-tree", commit).split("\0"):
            about, _, path = line.partition("\t")
            if path and about.startswith("100"):
                _mode, _kind, blob, size = about.split()
                found.append(Entry(path, blob, int(size)))
        return found

    def changed(self, old: str, new: str) -> set[str]:
        """Return the paths that differ between two commits; both names of what was renamed."""
        said = self._run("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)
        return {path for path in said.split("\0") if path}

    def deleted(self, commit: str, since: datetime) -> set[str]:
        """Return the paths that were deleted or renamed since a moment, as the log tells."""
        said = self._run(
            *("log", "-z", "--format=", "--name-only", "--no-renames", "--diff-filter=D"),
            *(f"--since={since.isoformat()}", commit, "--"),
        )
        return {path.lstrip("\n") for path in said.split("\0") if path.strip("\n")}

    def last_commits(self, commit: str, paths: set[str]) -> dict[str, Commit]:
        """Return the last commit that touched each path; reads no more of the log than it must."""
        wanted, found = set(paths), {}
        form = f"--format={_START}%H%x1f%an%x1f%ct"
        with self._started("log", "-z", form, "--name-only", "--no-renames", commit, "--") as log:
            current = None
            for piece in _pieces(log):
                if piece.lstrip("\n").startswith(_START):
                    name, author, seconds = piece.lstrip("\n")[1:].split("\x1f")
                    current = Commit(name, author, datetime.fromtimestamp(int(seconds), UTC))
                elif current and (path := piece.lstrip("\n")) in wanted:
                    found[path] = current
                    wanted.discard(path)
                    if not wanted:
                        break
            log.kill()
        return found

    def blobs(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Yield the bytes of each file."""
        with self._started("cat-file", "--batch") as reader:
            assert reader.stdin is not None and reader.stdout is not None
            try:
                for entry in entries:
                    reader.stdin.write(f"{entry.blob}\n".encode())
                    reader.stdin.flush()
                    head = reader.stdout.readline().split()
                    if len(head) != 3:
                        raise RemoteError(f"the repository has lost {entry.path!r}")
                    yield entry, reader.stdout.read(int(head[2]))
                    reader.stdout.read(1)
            finally:
                reader.kill()

    def _arguments(self, words: Sequence[str], *, there: bool = True) -> list[str]:
        place = ("-C", str(self.folder)) if there else ()
        return ["git", *place, *_SAFE, *words]

    def _started(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._arguments(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )

    def _run(self, *words: str, there: bool = True) -> str:
        try:
            done = subprocess.run(
                self._arguments(words, there=there),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._environment,
                timeout=_FETCH_S,
                check=True,
            )
        except FileNotFoundError as error:
            raise ConfigError("the command `git` is not on this machine") from error
        except subprocess.TimeoutExpired:
            raise RemoteError(f"git {words[0]} took longer than {_FETCH_S:g} s") from None
        except subprocess.CalledProcessError as error:
            said = _text(error.stderr).strip().splitlines()
            reason = scrubbed(said[-1] if said else "no reason given", self._secrets)
            raise RemoteError(
                f"git {words[0]} failed: {reason[:300]}",
                hint="check the address and the branch, and who may read them",
            ) from None
        return _text(done.stdout)


def _text(data: bytes) -> str:
    # A path is bytes; one that is no UTF-8 keeps a name, with its bytes escaped.
    return data.decode("utf-8", "backslashreplace")


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stdout is not None
    left = b""
    while data := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
        *whole, left = (left + data).split(b"\0")
        yield from map(_text, whole)
    if left:
        yield _text(left)
