"""Logging in to the pages in a real browser: by key, by name and password, and out again."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ragstack import Stack
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Message
from ragstack_apps.accounts.caller import Caller
from ragstack_apps.chat.launch import Launch, Together
from ragstack_apps.chat.widgets import _TOKEN_JS
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium here", allow_module_level=True)

QUESTION = "Who built the lighthouse?"
PASSWORDS = {"anna": "a lamp upon the rock", "bob": "the keel of the ferry"}
LOOK_MS = 60_000


def reply(messages: Sequence[Message]) -> str:
    if "shortest exact phrase" in messages[-1].text:
        return "Agnes Murray"
    return "The lighthouse was built in 1871 by the engineer Agnes Murray."


@contextmanager
def opened(base: Path, repository: Path, *, api_key: str = "") -> Iterator[tuple[str, House]]:
    """Run a server and the pages over it; yield the address of the pages."""
    overrides = {"embed": {"use": "hashing"}}
    model = ScriptedGenerator(reply, scores=lambda _messages, _text: -0.1)
    with Stack.open(base, overrides=overrides, generator=model) as stack:
        stack.ingest(repository / "tests" / "corpus")
        house = House.of(stack, Place(port=0, api_key=api_key))
        for name, password in PASSWORDS.items():
            house.accounts.users.add(name, password)
        server = Server(house)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Together(Launch(port=0, server=server.url)) as both:
                both.wait_ready()
                yield both.address, house
        finally:
            server.stop(5)
            thread.join()
            house.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[str]:
    base = tmp_path_factory.mktemp("login") / "kb"
    with opened(base, repository, api_key="sesame") as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    expect.set_options(timeout=LOOK_MS)
    with browser.new_context(locale="en-GB") as context:
        context.set_default_timeout(LOOK_MS)
        yield context.new_page()


def enter(page: Page, name: str, password: str) -> None:
    """Fill the form and send it."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in", exact=True).first.click()


def enter_key(page: Page, key: str) -> None:
    box = page.get_by_label("API key", exact=True)
    if not box.is_visible():
        page.get_by_text("Log in with an API key").click()
    box.fill(key)
    box.press("Enter")


def within(page: Page) -> None:
    """Wait for the page of who is logged in, and until the tab remembers it."""
    expect(page.get_by_test_id("stChatInputTextArea")).to_be_enabled()
    page.wait_for_function("sessionStorage.getItem('ragstack') !== null")


def leave(page: Page) -> None:
    """Log out, and wait until the tab has forgotten it."""
    page.get_by_role("button", name="Language and account").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("Log in to ragstack")).to_be_visible()
    page.wait_for_function("sessionStorage.getItem('ragstack') === null")


def refused(page: Page) -> None:
    expect(page.get_by_role("alert").first).to_be_visible()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(page.get_by_test_id("stChatInputTextArea")).to_have_count(0)
    assert page.evaluate("sessionStorage.getItem('ragstack')") is None


def test_a_key_is_asked_for_and_outlives_a_reload(place: str, page: Page) -> None:
    page.goto(place)
    enter_key(page, "a wrong one")
    refused(page)
    enter_key(page, "sesame")
    within(page)
    page.reload()
    within(page)
    leave(page)
    page.reload()
    expect(page.get_by_text("Log in to ragstack")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "password"), [("anna", PASSWORDS["bob"]), ("nobody", PASSWORDS["anna"]), ("", "")]
)
def test_a_wrong_password_lets_nobody_in(place: str, page: Page, name: str, password: str) -> None:
    page.goto(place)
    enter(page, name, password)
    refused(page)
    # Which of the two was wrong is not told.
    assert "anna" not in page.get_by_role("alert").first.inner_text()


def test_what_was_decided_later_stays(place: str, page: Page) -> None:
    """What is drawn no more may run once more, after what took its place."""
    page.goto(f"{place}/_stcore/health")  # of the same origin, where nothing else decides
    script = _TOKEN_JS.replace("export default function", "(function") + ")"

    def kept(token: str, at: float) -> object:
        page.evaluate(
            "([script, data]) => eval(script)({data})", [script, {"token": token, "at": at}]
        )
        return page.evaluate("sessionStorage.getItem('ragstack')")

    now = time.time()
    assert kept("bob's", now) == "bob's"
    assert kept("", now - 5) == "bob's"
    assert kept("", now) is None
    assert kept("anna's", now - 3_600) == "anna's"  # the server's clock was set
    assert kept("", now - 3_599) is None


def test_each_sees_their_own_conversations(place: str, page: Page) -> None:
    page.goto(place)
    enter(page, "anna", PASSWORDS["anna"])
    within(page)
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(QUESTION)
    box.press("Enter")
    page.locator("button.cite").first.wait_for()
    listed = page.get_by_test_id("stSidebar").get_by_role("button", name=QUESTION)
    page.reload()
    within(page)
    expect(listed).to_be_visible()
    page.get_by_role("button", name="Language and account").click()
    expect(page.get_by_text("Signed in as anna")).to_be_visible()
    page.keyboard.press("Escape")
    hers = page.url
    assert "chat=" in hers
    leave(page)
    expect(listed).to_have_count(0)

    enter(page, "bob", PASSWORDS["bob"])
    within(page)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(listed).to_have_count(0)
    # Nor by the address of hers.
    page.goto(hers)
    within(page)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(page.get_by_text(QUESTION)).to_have_count(0)
    expect(page.locator("button.cite")).to_have_count(0)
    leave(page)

    enter(page, "anna", PASSWORDS["anna"])
    within(page)
    expect(listed).to_be_visible()


def test_a_session_that_was_ended_is_asked_for_again(
    tmp_path: Path, repository: Path, page: Page
) -> None:
    with opened(tmp_path / "kb", repository) as (address, house):
        page.goto(address)
        enter(page, "anna", PASSWORDS["anna"])
        within(page)
        by = Caller("ops", (), frozenset({"admin"}), None, "")
        house.accounts.set_password(by, "anna", "another one altogether")
        page.reload()
        expect(page.get_by_text("Log in to ragstack")).to_be_visible()
        enter(page, "anna", PASSWORDS["anna"])
        refused(page)
