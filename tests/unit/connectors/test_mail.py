from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragstack.errors import ConfigError, InputError, NotFound, RemoteError
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.imap import ImapConnector, _name, _utf7
from ragstack_connectors.mbox import MboxConnector

MAILS = (
    "From ann@example.org Mon Jan  1 10:00:00 2024\nFrom: ann@example.org\nMessage-ID: <a@x>\n"
    "Subject: One\n\n>From here it goes.\n\n"
    "From ben@example.org Mon Jan  1 10:00:00 2024\nFrom: ben@example.org\nSubject: Two\n\n"
    "Text.\n\n"
    "From ann@example.org Mon Jan  1 10:00:00 2024\nFrom: ann@example.org\nmessage-id:\n <c@x>\n"
    "Subject: Three\n\nText.\n\n"
)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "box.mbox"
    path.write_text(MAILS)
    return path


class TestMbox(ConnectorSuite):
    @pytest.fixture(autouse=True)
    def _box(self, box: Path) -> None:
        self.path = box

    def make(self) -> MboxConnector:
        return MboxConnector([self.path, self.path], max_bytes=1_000)

    def change(self) -> str:
        self.path.write_text(MAILS[: MAILS.rindex("From ann")])
        return f"{self.path}#c@x"

    def spoil(self) -> str:
        self.path.write_text(MAILS + "x" * 1_000)
        return f"{self.path}#c@x"


class TestImap(ConnectorSuite):
    secrets = ("open-sesame",)

    @pytest.fixture(autouse=True)
    def _server(self, mail_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIL_WORD", mail_server.password)
        self.server = mail_server
        for subject in ("One", "Two", "Three"):
            mail_server.put(subject)
        mail_server.put("Filed", folder="Été & co")

    def make(self) -> ImapConnector:
        return imap(self.server, folders=["INBOX"], max_bytes=200)

    def change(self) -> str:
        del self.server.boxes["INBOX"].mails[2]
        return "imap://ann@127.0.0.1/INBOX;UIDVALIDITY=1/;UID=2"

    def spoil(self) -> str:
        date, _data, flags = self.server.boxes["INBOX"].mails[2]
        self.server.boxes["INBOX"].mails[2] = (date, b"x" * 201, flags)
        return "imap://ann@127.0.0.1/INBOX;UIDVALIDITY=1/;UID=2"


def imap(server: Any, **options: Any) -> ImapConnector:
    given = {"port": server.port, "password": {"env": "MAIL_WORD"}, "security": "none", **options}
    return ImapConnector("127.0.0.1", user="ann", **given)


@pytest.fixture
def server(mail_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MAIL_WORD", mail_server.password)
    return mail_server


def sources(connector: Any, **how: Any) -> list[Source]:
    return [each for each in connector.fetch(**how) if isinstance(each, Source)]


def test_mails_of_a_file_are_told(box: Path) -> None:
    os.utime(box, (1_700_000_000, 1_700_000_000))
    first, second, third = sources(MboxConnector([box]))
    assert first.uri == f"{box}#a@x" and third.uri == f"{box}#c@x"
    assert len(second.uri.rpartition("#")[2]) == 24
    assert first.data.endswith(b"\n\nFrom here it goes.\n")
    assert first.media_type == "message/rfc822"
    assert first.modified == datetime.fromtimestamp(1_700_000_000, UTC)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        MboxConnector([tmp_path / "none"])
    with pytest.raises(InputError):
        MboxConnector("box")


def test_mails_of_a_folder_are_told(server: Any) -> None:
    server.put("One", date=" 1-Mar-2024 10:00:00 +0200")
    server.put("Bin", flags="\\Deleted \\Seen")
    (found,) = sources(imap(server))
    assert found.uri == "imap://ann@127.0.0.1/INBOX;UIDVALIDITY=1/;UID=1"
    assert found.data.startswith(b"From: ann@example.org\r\nSubject: One")
    assert found.modified == datetime(2024, 3, 1, 8, tzinfo=UTC)
    assert found.meta == {"folder": "INBOX"}
    # Nothing is marked as read: the folder is opened for reading, and bodies are peeked at.
    assert any(line.split(" ", 1)[1].startswith("EXAMINE") for line in server.commands)
    assert not any("SELECT" in line or "STORE" in line for line in server.commands)


def test_new_numbers_are_new_addresses(server: Any) -> None:
    server.put("One")
    first = imap(server)
    old = {source.uri for source in sources(first)}
    server.boxes["INBOX"].validity = 7
    second = imap(server)
    second.state, second.known = first.state, frozenset(old)
    (found,) = sources(second, since=datetime.now(UTC))
    assert found.uri.endswith(";UIDVALIDITY=7/;UID=1")
    assert second.present == {found.uri}


def test_a_mail_that_was_moved_here_is_new_whatever_its_date(server: Any) -> None:
    server.put("One")
    first = imap(server)
    sources(first)
    server.put("Old, moved today", date="01-Jan-2001 10:00:00 +0000")
    second = imap(server)
    second.state = first.state
    assert [s.uri[-1] for s in sources(second, since=datetime.now(UTC))] == ["2"]


def test_all_folders_but_those_of_no_use(server: Any) -> None:
    server.put("One")
    server.put("Filed", folder=_utf7("Été & co"))
    server.put("Thrown away", folder="Trash")
    found = sources(imap(server, folders=["*"]))
    assert [s.meta["folder"] for s in found] == ["INBOX", "Été & co"]
    assert "/%C3%89t%C3%A9%20%26%20co;" in found[1].uri


def test_one_bad_folder_ends_nothing(server: Any) -> None:
    server.put("One")
    connector = imap(server, folders=["None", "INBOX"])
    assert len(sources(connector)) == 1
    assert "'None' cannot be read: no such folder" in connector.failures[0].reason
    assert connector.present is None


@pytest.mark.parametrize("name", ["INBOX", "Été & co", "a&b", "日本語", 'quo"te', "a\\b", "&-"])
def test_names_of_folders_are_written_as_the_protocol_wants(name: str) -> None:
    written = '"' + _utf7(name).replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert written.isascii()
    assert _name(written.encode()) == name


def test_what_goes_wrong_shows_no_password(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_WORD", "wrong-sesame")
    with pytest.raises(RemoteError, match="AUTHENTICATIONFAILED") as raised:
        sources(imap(server))
    assert "wrong-sesame" not in str(raised.value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RemoteError, match="refused") as unreached:
        sources(imap(server, port=port))
    assert unreached.value.retryable


def test_options_that_cannot_be_used(server: Any) -> None:
    with pytest.raises(InputError, match="for all to read"):
        ImapConnector("mail.example.org", user="a", password={"env": "MAIL_WORD"}, security="none")
    with pytest.raises(InputError, match="one of tls"):
        imap(server, security="ssl")
    with pytest.raises(ConfigError, match="password or a token"):
        imap(server, password=None)
    with pytest.raises(InputError, match="line ends"):
        imap(server, folders=['INBOX"\r\nA DELETE x'])
    with pytest.raises(InputError, match="list of names"):
        imap(server, folders="INBOX")
