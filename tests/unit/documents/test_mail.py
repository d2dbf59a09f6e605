from __future__ import annotations

import pytest

from ragstack.documents.mail import MailLoader
from ragstack.errors import BrokenDocument
from ragstack.testing.samples import mail_bytes
from ragstack.types import Document


def load(data: bytes) -> Document:
    return MailLoader().load(data, source="a.eml")


def test_a_plain_body_is_preferred() -> None:
    document = load(mail_bytes("=?utf-8?q?L=E2=80=99=C3=A9t=C3=A9?=", "Bonjour.\r\n\r\nÀ demain.",
                               html="<p>HTML</p>", attachment="plan été.pdf"))  # fmt: skip
    assert document.text == (
        "# L’été\n\nFrom: Ada <ada@example.org>\nTo: Bob <bob@example.org>\n"
        "Date: Tue, 01 Oct 2024 12:34:56 +0200\n\nBonjour.\n\nÀ demain.\n\n"
        "Attachments: plan été.pdf"
    )
    assert document.meta == {
        "title": "L’été",
        "author": "Ada <ada@example.org>",
        "date": "2024-10-01T12:34:56+02:00",
        "type": "mail",
        "to": "Bob <bob@example.org>",
        "attachments": "plan été.pdf",
    }
    assert [(m.kind, m.label) for m in document.marks] == [("heading", "L’été")]


def test_html_is_read_where_there_is_nothing_else() -> None:
    document = load(mail_bytes("S", "", html="<h2>Hello</h2><script>no</script><p>Bob &amp; co"))
    assert document.text.endswith("## Hello\n\nBob & co")


def test_an_attached_text_is_named_and_not_opened() -> None:
    data = mail_bytes("S", "Body.", attachment="secret.txt")
    assert "none" not in load(data).text


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text/plain; charset=no-such-code",
        b"Content-Type: text/plain; charset=iso-8859-1",
        b"Content-Type: text/plain; charset*=iso''utf-8",
        b"Content-Transfer-Encoding: no-such-code",
        b"Content-Type: ;;;",
    ],
)
def test_wrong_heads_do_not_lose_the_body(head: bytes) -> None:
    assert load(b"From: a@b\nSubject: s\n" + head + b"\n\nd\xc3\xa9j\xc3\xa0").text.endswith("déjà")


@pytest.mark.parametrize("date", ["INVALID", "Mon, 99 Foo 2024", ""])
def test_a_wrong_date_is_left_out(date: str) -> None:
    assert "date" not in load(f"From: a@b\nDate: {date}\n\nBody.".encode()).meta


def test_what_has_no_heads_is_no_mail() -> None:
    with pytest.raises(BrokenDocument, match="neither sender"):
        load(b"Just some text.\n\nAnd more.")
