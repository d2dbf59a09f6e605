"""Each page draws what the server says, without a browser."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ragstack import registry
from ragstack_apps.chat.session import Session
from ragstack_apps.chat.views.settings import changes

LONG = "Who built the lighthouse in 1871?"
"""The question whose answer takes its time."""


def settled(page: AppTest) -> AppTest:
    """Draw until no answer is at work any more, as a browser does by itself."""
    until = time.monotonic() + 30
    while any(button.key == "stop" for button in page.button):
        assert time.monotonic() < until, "the answer does not come to its end"
        time.sleep(0.1)
        page.run()
    assert not page.exception, page.exception
    return page


def said(page: AppTest) -> str:
    """Return all text of a page."""
    kinds = ("title", "subheader", "text", "caption", "warning", "success", "error", "markdown")
    found = [str(one.value) for kind in kinds for one in page.get(kind)]
    found += [str(one.label) for one in page.button]
    found += [one.proto.body for one in page.get("html")]
    found += [one.proto.json for one in page.get("bidi_component")]
    return "\n".join(found)


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if label in button.label).click()
    return page.run()


@pytest.mark.parametrize("name", registry.names("pages"))
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_page_draws(opened: Any, name: str, language: str) -> None:
    page = opened(name, language=language)
    assert not page.exception, page.exception
    assert not page.error, page.error
    assert page.title or name == "chat"


def test_a_question_gets_its_answer(opened: Any) -> None:
    page = opened("chat")
    page.chat_input[0].set_value(LONG).run()
    assert any(button.key == "stop" for button in page.button)
    settled(page)
    assert "Agnes Murray" in said(page)
    assert any(button.key and button.key.startswith("cite-") for button in page.button)
    assert "run" in page.query_params


def test_a_reload_finds_the_run_of_the_address(opened: Any) -> None:
    first = opened("chat")
    first.chat_input[0].set_value(LONG).run()
    run, chat = first.query_params["run"], first.query_params["chat"]
    again = opened("chat", run=run, chat=chat)
    assert LONG in said(again), "the question is there while the answer is at work"
    assert "Agnes Murray" in said(settled(again))


def asked(page: AppTest) -> int:
    """Return how many questions stand on the page."""
    return sum(message.name == "user" for message in page.chat_message)


def test_an_answer_given_again_takes_the_place_of_the_last(opened: Any) -> None:
    page = opened("chat")
    page.chat_input[0].set_value(LONG).run()
    settled(page)
    first, chat = page.query_params["run"], page.query_params["chat"]
    press(page, "Answer again")
    assert asked(page) == 1, "what is answered again stands there once"
    settled(page)
    assert page.query_params["run"] != first and asked(page) == 1
    press(page, "Answer again")
    press(page, "Stop")
    settled(page)
    # The answer that was there is there still, above the one that was stopped.
    assert asked(page) == 2 and "Agnes Murray" in said(page)
    press(page, "Answer again")
    assert asked(page) == 1
    settled(page)
    later = settled(opened("chat", chat=chat))
    assert asked(later) == 1


def test_an_answer_that_ends_while_the_page_is_drawn(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened("chat")
    page.chat_input[0].set_value(LONG).run()
    settled(page)
    press(page, "Answer again")
    get = Session.run

    def late(session: Session, run: str) -> Any:
        """Go on drawing when the run has ended, which was at work when drawing began."""
        until = time.monotonic() + 30
        while run == page.query_params["run"] and not session.following(run).ended:
            assert time.monotonic() < until
            time.sleep(0.01)
        return get(session, run)

    monkeypatch.setattr(Session, "run", late)
    press(page, "Stop")
    settled(page)
    assert asked(page) == 2 and "Agnes Murray" in said(page)


def test_stop_stops_the_run_on_the_server(opened: Any) -> None:
    page = opened("chat")
    page.chat_input[0].set_value(LONG).run()
    press(page, "Stop")
    settled(page)
    assert page.warning and not any(b.key and b.key.startswith("cite-") for b in page.button)
    assert any(button.key == "again" for button in page.button)


def test_a_conversation_is_found_and_opened_again(opened: Any) -> None:
    page = opened("chat")
    page.chat_input[0].set_value("Who built the lighthouse, by whom?").run()
    settled(page)
    other = opened("chat")
    other.text_input(key="chats-search").set_value("whom").run()
    press(other, "by whom")
    settled(other)
    assert "Agnes Murray" in said(other)


def test_a_citation_opens_its_source(opened: Any) -> None:
    page = opened("chat")
    page.chat_input[0].set_value(LONG).run()
    settled(page)
    next(b for b in page.button if b.key and b.key.startswith("cite-")).click()
    page.run()
    assert not page.exception
    assert "<mark>The lighthouse was built in 1871" in said(page)


def test_what_settings_were_changed() -> None:
    now = {"answer": {"k": 8, "style": "normal"}, "index": {"a": {"use": "x"}}, "n": 1}
    written = json.dumps({"use": "y"})
    given = {"answer": {"k": 9, "style": "normal"}, "index": {"a": written}, "n": 1}
    assert changes(now, given) == {"answer": {"k": 9}, "index": {"a": {"use": "y"}}}
    assert changes(now, {**now}) == {}
    with pytest.raises(ValueError, match="a"):
        changes(now, {"index": {"a": "{"}})


def test_pages_open_to_others_refuse_an_open_server(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes these pages for its own machine: whoever came through would be let in."""
    monkeypatch.setenv("RAGSTACK_CHAT_LOGIN", "1")
    page = opened("chat", token="whatever")
    assert "lets anyone in" in page.error[0].value
    assert not page.chat_input and not page.text_input


def test_what_each_passage_did_is_worked_out_on_request(opened: Any) -> None:
    page = opened("chat")
    page.chat_input[0].set_value("Who built the lighthouse?").run()
    settled(page)
    page = opened("inspect")
    assert not page.exception and not page.get("progress")
    press(page, "Work out what each passage did")
    assert not page.exception, page.exception
    assert not page.error, page.error
    shown = page.get("progress")
    assert shown and all("%" in one.proto.text for one in shown)
    assert not any("Work out" in button.label for button in page.button)
