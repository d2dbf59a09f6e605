from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import ConfigError, InputError, NotFound, RemoteError
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Gone, Source
from ragstack_connectors.git import GitConnector

Git = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, git: Git) -> Path:
    place = tmp_path / "repository"
    (place / "docs").mkdir()
    (place / "docs" / "a.md").write_text("# A")
    (place / "b.txt").write_text("b")
    git("add", "-A")
    git("commit", "-q", "-m", "first", at="2023-01-01T00:00:00Z", author="Ann")
    (place / "été.txt").write_text("summer")
    git("add", "-A")
    git("commit", "-q", "-m", "second", at="2024-01-01T00:00:00Z", author="Ben")
    return place


class TestGit(ConnectorSuite):
    @pytest.fixture(autouse=True)
    def _repository(self, folder: Path, git: Git) -> None:
        self.folder, self.git = folder, git

    def make(self) -> GitConnector:
        return GitConnector(str(self.folder), max_bytes=100)

    def change(self) -> str:
        self.git("rm", "-q", "b.txt")
        self.git("commit", "-q", "-m", "gone", at=datetime.now(UTC).isoformat())
        return f"{self.folder}#b.txt"

    def spoil(self) -> str:
        (self.folder / "b.txt").write_text("b" * 101)
        self.git("commit", "-q", "-a", "-m", "large")
        return f"{self.folder}#b.txt"


def names(found: Any) -> list[str]:
    return [("-" if isinstance(each, Gone) else "") + each.uri.rpartition("#")[2] for each in found]


def test_a_file_is_told_with_its_last_commit(folder: Path) -> None:
    sources = [each for each in GitConnector(str(folder)).fetch() if isinstance(each, Source)]
    assert names(sources) == ["b.txt", "docs/a.md", "été.txt"]
    first, _, last = sources
    assert first.data == b"b"
    assert first.meta["author"] == "Ann" and last.meta["author"] == "Ben"
    assert first.meta["date"] == "2023-01-01T00:00:00+00:00"
    assert first.modified == datetime(2023, 1, 1, tzinfo=UTC)
    assert (last.media_type, last.meta["path"]) == ("text/plain", "été.txt")


def test_since_a_date_the_log_says_what_changed_and_what_was_renamed(
    folder: Path, git: Git
) -> None:
    git("mv", "b.txt", "c.txt")
    git("commit", "-q", "-m", "rename", at="2024-06-01T00:00:00Z")
    connector = GitConnector(str(folder))
    found = list(connector.fetch(since=datetime(2023, 6, 1, tzinfo=UTC)))
    assert names(found) == ["-b.txt", "c.txt", "été.txt"]


def test_what_was_committed_long_ago_and_pushed_today_is_found_by_the_state(
    folder: Path, git: Git
) -> None:
    first = GitConnector(str(folder))
    list(first.fetch())
    (folder / "old.txt").write_text("written years ago")
    git("rm", "-q", "docs/a.md")
    git("add", "-A")
    git("commit", "-q", "-m", "merged late", at="2020-01-01T00:00:00Z")
    second = GitConnector(str(folder))
    second.state = first.state
    assert names(second.fetch(since=datetime.now(UTC))) == ["-docs/a.md", "old.txt"]


def test_patterns_choose_and_links_are_left_out(folder: Path, git: Git) -> None:
    (folder / "link").symlink_to("b.txt")
    git("add", "-A")
    git("commit", "-q", "-m", "link")
    assert names(GitConnector(str(folder), include=["*.md"]).fetch()) == ["docs/a.md"]
    assert names(GitConnector(str(folder), exclude=["docs/"]).fetch()) == ["b.txt", "été.txt"]


def test_a_branch_has_addresses_of_its_own(folder: Path, git: Git) -> None:
    git("branch", "old", "HEAD~1")
    found = list(GitConnector(str(folder), branch="old").fetch())
    assert [each.uri for each in found] == [f"{folder}#old:b.txt", f"{folder}#old:docs/a.md"]
    with pytest.raises(RemoteError, match="rev-parse"):
        list(GitConnector(str(folder), branch="none").fetch())


def test_a_repository_elsewhere_is_copied_once_and_brought_up_to_date(
    folder: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = GitConnector("https://example.org/a.git", cache=str(tmp_path / "copies"))
    # The same commands, to a copy over the protocol `file`.
    monkeypatch.setattr(connector, "_remote", f"file://{folder}")
    assert names(connector.fetch()) == ["b.txt", "docs/a.md", "été.txt"]
    git("rm", "-q", "b.txt")
    git("commit", "-q", "-m", "gone")
    found = list(connector.fetch(since=datetime.now(UTC)))
    assert names(found) == ["-b.txt"]
    assert found[0].uri == "https://example.org/a.git#b.txt"


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "ssh://-oProxyCommand=touch/x",
        "-oProxyCommand=x@host:path",
        "git@-oProxyCommand=x:path",
        "https://user:word@example.org/a.git",
        "ftp://example.org/a.git",
    ],
)
def test_options_and_credentials_in_an_address_are_refused(url: str) -> None:
    with pytest.raises(InputError) as raised:
        GitConnector(url)
    assert "word" not in raised.value.message.replace("password", "")


@pytest.mark.parametrize("branch", ["--output=x", "a..b", "-x", "a b", "a:b"])
def test_options_in_a_branch_are_refused(folder: Path, branch: str) -> None:
    with pytest.raises(InputError, match="branch"):
        GitConnector(str(folder), branch=branch)


def test_no_folder_and_no_repository(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        GitConnector(str(tmp_path / "none"))
    with pytest.raises(RemoteError, match="git rev-parse failed"):
        list(GitConnector(str(tmp_path)).fetch())


def test_what_a_repository_configures_is_not_run(folder: Path, git: Git, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    git("config", "core.fsmonitor", f"touch {mark}")
    git("config", "diff.external", f"touch {mark}")
    git("config", "core.pager", f"touch {mark}")
    git("config", "diff.x.textconv", f"touch {mark}")
    (folder / ".gitattributes").write_text("* diff=x filter=x\n")
    git("config", "filter.x.smudge", f"touch {mark}")
    list(GitConnector(str(folder)).fetch())
    list(GitConnector(str(folder)).fetch(since=datetime(2022, 1, 1, tzinfo=UTC)))
    assert not mark.exists()


def test_a_token_goes_by_the_environment_and_over_https_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_WORD", "very-secret-word")
    with pytest.raises(ConfigError, match="secret itself"):
        GitConnector("https://example.org/a.git", token="very-secret-word")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="https"):
        GitConnector("git@example.org:a.git", token={"env": "GIT_WORD"})
    connector = GitConnector("https://example.org/a.git", token={"env": "GIT_WORD"})
    assert "very-secret" not in repr(connector) + connector.address
    arguments = connector._repository._arguments(["fetch"])
    assert not any("secret" in word or "Authorization" in word for word in arguments)
