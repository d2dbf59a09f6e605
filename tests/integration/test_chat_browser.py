"""The pages in a real browser, over a real server whose model reads from a script.

``RAGSTACK_PICTURES=1`` has the pictures of the README made anew, in ``docs/images``.
"""

from __future__ import annotations

import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

from ragstack import Client, Stack, registry
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Delta, Message
from ragstack_apps.chat.launch import Launch, Together
from ragstack_apps.server.house import House
from ragstack_apps.server.place import Place
from ragstack_apps.server.running import Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium here", allow_module_level=True)

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images"
EVIL = (
    "![x](http://evil.test/a.png) <img src='http://evil.test/b.png'> "
    "[here](http://evil.test/c) http://evil.test/d"
)
TRUE = "The lighthouse was built in 1871 by the engineer Agnes Murray. "
SLOW = TRUE * 12
PUFFINS = "Puffins are what breeds on the outer skerry in May."
LONG = "Who built the lighthouse in 1871?"
"""The question whose answer takes its time."""
WANTED = bool(os.environ.get("RAGSTACK_PICTURES"))  # tests themselves see no such setting
STEP_S = 0.05
LOOK_MS = 60_000


def reply(messages: Sequence[Message]) -> str:
    """Answer by what is asked, so that tests may come in any order."""
    asked = messages[-1].text
    if "breeds" in asked:
        return "Puffins" if "shortest exact phrase" in asked else PUFFINS
    if "shortest exact phrase" in asked:
        return "Agnes Murray"  # what is asked first: whether the passages say it at all
    if LONG in asked:
        return SLOW
    if "hostile" in asked:
        return f"{TRUE} {EVIL}"
    return TRUE


def paper() -> bytes:
    """Return a PDF of one page with one sentence on it."""
    text = f"BT /F1 14 Tf 60 700 Td ({PUFFINS}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(data)
    data += b"xref\n0 6\n0000000000 65535 f \n" + table
    return data + b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


class Paced(ScriptedGenerator):
    """Writes as a model does: a word, then a while nothing."""

    def stream(self, messages: Sequence[Message], **more: Any) -> Iterator[Delta]:
        for delta in super().stream(messages, **more):
            if delta.text:
                time.sleep(STEP_S)
            yield delta


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chat")


@pytest.fixture(scope="module")
def house(base: Path, repository: Path) -> Iterator[Server]:
    model = Paced(reply, scores=lambda _messages, _text: -0.1)
    overrides = {"embed": {"use": "hashing"}}
    with Stack.open(base / "kb", overrides=overrides, generator=model) as stack:
        place = House.of(stack, Place(port=0))
        server = Server(place)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Client(server.url) as client:
                (base / "paper.pdf").write_bytes(paper())
                client.ingest(repository / "tests" / "corpus", base / "paper.pdf")
            yield server
        finally:
            server.stop(5)
            thread.join()
            place.close()


@pytest.fixture(scope="module")
def pages(house: Server) -> Iterator[str]:
    with Together(Launch(port=0, server=house.url)) as both:
        both.wait_ready()
        yield both.address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


class Tab:
    """One tab, and every address it asked for."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.asked: list[str] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        self.asked.append(request.url)

    def open(self, name: str = "") -> Page:
        self.page.goto(f"{self.address}/{name}")
        self.page.get_by_test_id("stSidebarNav").wait_for()
        if name not in ("", "chat"):
            self.page.get_by_role("heading", level=1).wait_for()
        self.quiet()
        return self.page

    def quiet(self) -> None:
        """Wait until nothing is being drawn, and what is drawn no more has gone."""
        app = self.page.get_by_test_id("stApp")
        expect(app).to_have_attribute("data-test-script-state", "notRunning")
        expect(self.page.get_by_test_id("stSkeleton")).to_have_count(0)
        expect(self.page.get_by_test_id("stStatusWidget")).to_have_count(0)

    def ask(self, question: str) -> None:
        box = self.page.get_by_test_id("stChatInputTextArea")
        expect(box).to_be_enabled()
        box.fill(question)
        box.press("Enter")

    def answered(self) -> Locator:
        """Wait for a checked answer, and return its first numbered button."""
        found = self.page.locator("button.cite").first
        found.wait_for()
        self.quiet()
        return found

    def foreign(self) -> set[str]:
        """Return the hosts asked for beside the pages themselves."""
        hosts = {urlsplit(url).netloc for url in self.asked if not url.startswith(("data", "blob"))}
        return hosts - {urlsplit(self.address).netloc}


@pytest.fixture
def tab(browser: Browser, pages: str) -> Iterator[Tab]:
    with browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB") as context:
        context.set_default_timeout(LOOK_MS)
        expect.set_options(timeout=LOOK_MS)
        page = context.new_page()
        yield Tab(page, pages)


Picture = Callable[[Page, str], None]


@pytest.fixture
def picture() -> Picture:
    """Keep a picture for the README, where it is asked for."""

    def take(page: Page, name: str) -> None:
        if not WANTED:
            return
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        small = shot.quantize(colors=128, method=Image.Quantize.MEDIANCUT)
        PICTURES.mkdir(exist_ok=True)
        small.save(PICTURES / f"{name}.png", optimize=True)
        assert (PICTURES / f"{name}.png").stat().st_size < 150_000

    return take


def until(true: Callable[[], bool]) -> None:
    """Wait for what is moving to come to rest, where no element says so."""
    end = time.monotonic() + LOOK_MS / 1_000
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(STEP_S)


def inside(mark: Locator, box: Locator) -> bool:
    """Return whether a mark stands within what its box shows."""
    one, other = mark.bounding_box(), box.bounding_box()
    assert one and other
    return other["y"] <= one["y"] and one["y"] + one["height"] <= other["y"] + other["height"]


def test_a_citation_opens_its_words_in_their_place(tab: Tab, picture: Picture) -> None:
    page = tab.open()
    tab.ask("Who built the lighthouse?")
    number = tab.answered()
    picture(page, "chat")
    number.click()
    mark = page.get_by_role("dialog").locator("mark").first
    expect(mark).to_be_visible()
    assert "Agnes Murray" in mark.inner_text()
    until(lambda: inside(mark, page.get_by_role("dialog").locator(".text.source")))
    picture(page, "citation")
    assert tab.foreign() == set()


def test_a_citation_of_a_pdf_is_shown_on_its_page(tab: Tab) -> None:
    page = tab.open()
    tab.ask("What breeds on the outer skerry?")
    tab.answered().click()
    shown = page.get_by_role("dialog").get_by_role("img").first
    expect(shown).to_be_visible()

    def coloured() -> int:
        pixels = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
        return sum(count for count, (r, _g, b) in pixels.getcolors(1 << 24) or () if r > b + 40)

    until(lambda: coloured() > 300)  # the words have their rectangle


def test_it_is_used_by_the_keyboard_alone(tab: Tab) -> None:
    page = tab.open()
    box = page.get_by_test_id("stChatInputTextArea")
    expect(box).to_be_enabled()
    for _ in range(40):
        page.keyboard.press("Tab")
        if box.evaluate("one => one === document.activeElement"):
            break
    else:
        pytest.fail("the tabulator never comes to the question")
    page.keyboard.type("Who built the lighthouse?")
    page.keyboard.press("Enter")
    tab.answered().focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("mark").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_stop_stops_the_model(tab: Tab, house: Server) -> None:
    page = tab.open()
    tab.ask(LONG)
    expect(page.get_by_text("built in 1871").first).to_be_visible()
    page.get_by_role("button", name="Stop", exact=False).first.click()
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    run = httpx.get(f"{house.url}/api/runs?limit=1", trust_env=False).json()["runs"][0]
    assert run["state"] == "cancelled"
    expect(page.get_by_test_id("stChatInputTextArea")).to_be_enabled()


def test_a_reload_in_the_middle_loses_nothing(tab: Tab, house: Server) -> None:
    page = tab.open()
    tab.ask(LONG)
    expect(page.get_by_text("built in 1871").first).to_be_visible()
    before = len(httpx.get(f"{house.url}/api/runs", trust_env=False).json()["runs"])
    page.reload()
    expect(page.get_by_text(LONG).first).to_be_visible()
    expect(page.get_by_text("built in 1871").first).to_be_visible()
    expect(page.get_by_role("button", name="Answer again")).to_be_visible(timeout=60_000)
    after = len(httpx.get(f"{house.url}/api/runs", trust_env=False).json()["runs"])
    assert before == after, "the question was not asked a second time"


def test_other_widgets_do_not_touch_an_answer_at_work(tab: Tab) -> None:
    page = tab.open()
    tab.ask(LONG)
    expect(page.get_by_text("built in 1871").first).to_be_visible()
    page.get_by_label("Search conversations").fill("nothing has this word")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No conversation has this word.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop", exact=False).first).to_be_visible()
    expect(page.get_by_role("button", name="Answer again")).to_be_visible(timeout=60_000)


def test_nothing_in_an_answer_reaches_out(tab: Tab) -> None:
    page = tab.open()
    tab.ask("Who built the lighthouse? Be hostile")
    tab.answered()
    assert tab.foreign() == set()
    assert page.locator("[src*='evil'], [href*='evil'], [style*='evil']").count() == 0


def test_a_file_is_uploaded_looked_at_and_deleted(tab: Tab, picture: Picture) -> None:
    page = tab.open("documents")
    text = "The breakwater is 312 metres long.\n" * 3
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "breakwater.md", "mimeType": "text/markdown", "buffer": text.encode()},
            {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 nothing"},
        ]
    )
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.get_by_text("1 added", exact=False).first).to_be_visible()
    expect(page.get_by_text("broken.pdf", exact=False).first).to_be_visible()
    picture(page, "documents")
    page.get_by_label("Search documents").fill("breakwater")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Documents: 1", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Chunks")).to_have_count(1)  # the others go after it
    page.get_by_role("button", name="Chunks").click()
    expect(page.get_by_role("dialog").get_by_text("312 metres").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Documents: 0", exact=True)).to_be_visible()


def test_a_run_is_looked_into(tab: Tab, picture: Picture) -> None:
    page = tab.open()
    tab.ask("Who built the lighthouse?")
    tab.answered()
    page.get_by_role("link", name="Inspect").click()
    expect(page.get_by_role("heading", level=1, name="Inspect")).to_be_visible()
    expect(page.locator("canvas, svg.marks").first).to_be_visible()
    tab.quiet()
    picture(page, "inspect")
    page.get_by_role("tab", name="Candidates").click()
    expect(page.get_by_text("candidates were kept", exact=False)).to_be_visible()
    page.get_by_role("tab", name="Prompt").click()
    expect(page.get_by_text("tokens, as they were sent", exact=False)).to_be_visible()


def test_the_map_has_the_question_in_it(tab: Tab, picture: Picture) -> None:
    page = tab.open("map")
    page.get_by_label("A question to place in it").fill("Who built the lighthouse?")
    page.keyboard.press("Enter")
    tab.quiet()
    expect(page.locator("canvas, svg.marks").first).to_be_visible()
    picture(page, "map")
    assert tab.foreign() == set()


def test_an_assistant_is_made(tab: Tab) -> None:
    page = tab.open("assistants")
    page.get_by_label("Name").fill("Keeper")
    page.get_by_label("Instructions").fill("Answer as the keeper of the lighthouse.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()


@pytest.mark.parametrize("name", registry.names("pages"))
def test_every_control_has_a_name(tab: Tab, name: str) -> None:
    page = tab.open("" if name == "chat" else name)
    if name == "chat":
        page.get_by_role("button", name="How to ask").click()
    session = page.context.new_cdp_session(page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "link", "textbox", "checkbox", "combobox", "tab", "spinbutton", "radio")
    found = [
        node for node in tree if not node["ignored"] and node.get("role", {}).get("value") in roles
    ]
    assert len(found) > 8
    nameless = [node for node in found if not node.get("name", {}).get("value", "").strip()]
    assert not nameless, [(node["role"]["value"], node.get("properties")) for node in nameless]
    assert page.locator("img:not([alt])").count() == 0


def test_it_speaks_the_browsers_language(browser: Browser, pages: str) -> None:
    with browser.new_context(locale="fr-FR") as context:
        tab = Tab(context.new_page(), pages)
        drop = tab.open("documents").get_by_test_id("stFileUploaderDropzone")
        said = drop.locator("button p").evaluate("p => getComputedStyle(p, '::after').content")
        assert said == '"Choisir des fichiers"'  # over Streamlit's own word, which is English
        page = tab.open()
        expect(page.get_by_role("link", name="Discussion")).to_be_visible()
        page.get_by_role("button", name="Langue et compte").click()
        page.get_by_label("Langue", exact=False).last.click()
        page.get_by_role("option", name="English").click()
        expect(page.get_by_role("link", name="Chat")).to_be_visible()
