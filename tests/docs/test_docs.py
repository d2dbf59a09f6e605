"""Documentation that is run: code blocks, commands, configuration, links, generated pages."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from ragstack import config, registry
from ragstack.cli.app import app
from ragstack.errors import MissingExtra
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.types import Message

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_FILE = re.compile(r"\A# file: (\S+)\n")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_DECLARED = re.compile(r'^"?(\w+)"?\s*[:=]\s*"[\w.]+:\w+"', re.M)
SMALL = """
[embed]
use = "hashing"

[generate]
use = "first_fit"
"""
REAL = """
[generate]
use = "local"
model = "smollm2-135m-instruct"
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The file it stands for, or an empty string."""
        found = _FILE.match(self.text)
        return found[1] if found else ""


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return a page's blocks in these languages."""
    text = page.read_text(encoding="utf-8")
    found = (Block(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in _FENCE.finditer(text))
    return [block for block in found if block.language in languages]


def named(pages: list[Path]) -> list[Any]:
    """Return the pages as test parameters, by their name."""
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
REAL_PAGES = [page for page in WITH_PYTHON if page.name in ("README.md", "sdk.md")]


def run_page(page: Path, folder: Path) -> None:
    """Write a page's files, run its other blocks in order, then the tests among its files."""
    shown: dict[str, Any] = {"__name__": "__page__"}
    tests: list[str] = []
    for block in blocks(page, "python"):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            tests += [block.file] if path.name.startswith("test_") else []
            continue
        code = "\n" * (block.line - 1) + block.text
        exec(compile(code, str(page), "exec"), shown)
    for test in tests:
        _run_test(test, folder)


def _run_test(test: str, folder: Path) -> None:
    """Run a page's own test, with its files for ragstack's rooms laid into the rooms."""
    lines = ["import importlib"]
    for path in sorted(folder.glob("ragstack/*/*.py")):
        lines.append(f"importlib.import_module('ragstack.{path.parent.name}').__path__.append(")
        lines.append(f"    {str(path.parent)!r})")
    (folder / "conftest.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def first_fit() -> ScriptedGenerator:
    """A generator that answers with the sentence that shares most words with the question."""

    def reply(messages: Sequence[Message]) -> str:
        shown, _, asked = messages[-1].text.rpartition("Question: ")
        words = set(re.findall(r"\w{3,}", asked.partition("\n")[0].lower()))
        sentences = re.split(r"(?<=[.!?])\s|\n\n", " ".join(shown.split("\n\n", 1)[1:]))
        return max(sentences, key=lambda s: len(words & set(s.lower().split())), default="")

    return ScriptedGenerator(reply, name="first_fit")


@pytest.fixture
def workplace(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    foreign_plugin: Callable[[str, str, str], None],
) -> Path:
    """A folder to work in, with a few documents in docs/ and small parts configured."""
    shutil.copytree(ROOT / "tests" / "corpus", tmp_path / "docs")
    (tmp_path / "ragstack.toml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    double = ModuleType("docs_double")
    double.first_fit = first_fit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "docs_double", double)
    foreign_plugin("generators", "first_fit", "docs_double:first_fit")
    return tmp_path


@pytest.mark.parametrize("page", named(WITH_PYTHON))
def test_python_blocks_run(page: Path, workplace: Path) -> None:
    run_page(page, workplace)


@pytest.mark.integration
@pytest.mark.parametrize("page", named(REAL_PAGES))
def test_python_blocks_run_with_real_models(page: Path, workplace: Path) -> None:
    (workplace / "ragstack.toml").write_text(REAL, encoding="utf-8")
    run_page(page, workplace)


def test_a_broken_block_is_caught(workplace: Path) -> None:
    page = workplace / "page.md"
    page.write_text("# Page\n\n```python\nassert 1 == 2\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError):
        run_page(page, workplace)


def shell_lines(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the commands a page tells its reader to type, split into words."""
    for block in blocks(page, "console", "sh"):
        for number, line in enumerate(block.text.splitlines(), block.line):
            if block.language == "console" and not line.startswith("$ "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.match(r"^[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                yield number, words


def check_command(words: list[str]) -> None:
    """Parse a command as ragstack would, without running it; an error where it is wrong."""
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands"):
        name = next(word for word in rest if not word.startswith("-"))
        assert name in command.commands, f"ragstack has no command {name!r}"
        command = command.commands[name]
        rest = rest[rest.index(name) + 1 :]
    command.make_context(words[0], rest)


@pytest.mark.parametrize("page", named([page for page in PAGES if blocks(page, "console", "sh")]))
def test_commands_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for number, words in shell_lines(page):
        where = f"{page.name}:{number}: {' '.join(words)}"
        if words[0] == "ragstack":
            try:
                check_command(words)
            except Exception as error:
                pytest.fail(f"{where}: {error}")
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.M), where
        elif words[0] == "sh":
            assert (ROOT / words[1]).is_file(), where
        elif words[:2] == ["docker", "compose"]:
            check_compose(words[2:], where)
        else:
            assert words[0] in ("sudo", ".", "cp", "openssl", "pip"), where


def check_compose(words: list[str], where: str) -> None:
    """Check that a command of docker compose names profiles and services that there are."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    profiles = {name for service in services.values() for name in service.get("profiles", ())}
    if words[0] == "--profile":
        assert words[1] in profiles, where
        words = words[2:]
    assert words[0] in ("up", "down", "ps", "logs", "exec", "cp"), where
    if words[0] == "exec":
        assert words[1] in services, where
        assert words[2] == "ragstack", where
        check_command(words[2:])
    for word in words[1:] if words[0] in ("logs", "cp") else ():
        if ":" in word or (words[0] == "logs" and not word.startswith("-")):
            assert word.partition(":")[0] in services, where


@pytest.mark.parametrize(
    "line",
    ["pull", "--profile gpus up", "exec sever ragstack stats", "logs sever", "cp a sever:/b"],
)
def test_a_wrong_compose_command_is_caught(line: str) -> None:
    with pytest.raises(AssertionError):
        check_compose(shlex.split(line), line)


@pytest.mark.parametrize(
    "line", ["ragstack fly", "ragstack search", "ragstack search x --colour", "ragstack stats -k 3"]
)
def test_a_wrong_command_is_caught(line: str) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        check_command(shlex.split(line))
    assert not isinstance(caught.value, (ImportError, AttributeError))


def check_plugins(found: config.Config, own: set[str]) -> None:
    """Check that every plug-in is known and takes its options."""
    for section, kind in (
        ("chunk", "chunkers"),
        ("embed", "embedders"),
        ("rerank", "rerankers"),
        ("generate", "generators"),
    ):
        plugin = getattr(found, section)
        if plugin.use == "none" or plugin.use in own:
            continue
        try:
            takes = registry.options_of(registry.load(kind, plugin.use))
        except MissingExtra:
            continue
        assert set(plugin.options) <= set(takes), f"{plugin.use}: {plugin.options}, takes {takes}"


@pytest.mark.parametrize("page", named([page for page in PAGES if blocks(page, "toml")]))
def test_configuration_blocks_are_accepted(page: Path, tmp_path: Path) -> None:
    own = set(_DECLARED.findall(page.read_text(encoding="utf-8")))
    for block in blocks(page, "toml"):
        if block.file:
            tomllib.loads(block.text)
            continue
        file = tmp_path / "ragstack.toml"
        file.write_text(block.text, encoding="utf-8")
        check_plugins(config.load(tmp_path, file=file), own)


@pytest.mark.parametrize("page", named([page for page in PAGES if blocks(page, "json")]))
def test_json_blocks_are_json(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block.text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def broken_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere in this repository."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"^[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", named(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](#one-two) [b](#three) [c](no.md) [d](https://x.org)\n")
    assert broken_links(page) == ["#three", "no.md"]


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for link in _LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_file() and target not in reached:
                waiting.append(target)
    assert [page for page in PAGES if page not in reached] == []


def test_generated_pages_are_up_to_date(script: Callable[[str], ModuleType]) -> None:
    """Run `make docs` when this fails."""
    for path, text in script("make_docs").pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date"


SHOWN = {
    "search": ["search", "rent", "--json"],
    "ask": ["ask", "Who pays for repairs to the roof?", "--json"],
    "ingest": ["ingest", "docs/lease.md", "--json"],
    "stats": ["stats", "--json"],
    "Errors": ["search", "rent", "--base", "nowhere", "--json"],
}


@pytest.mark.parametrize("name", SHOWN)
def test_json_is_as_documented(name: str, workplace: Path) -> None:
    """Every key that is printed is documented, and every documented key is printed."""
    text = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    example = json.loads(_FENCE.search(text.partition(f"\n## {name}\n")[2])[2])  # type: ignore[index]
    runner = CliRunner()
    runner.invoke(app, ["ingest", "docs/"], catch_exceptions=False)
    done = runner.invoke(app, SHOWN[name], catch_exceptions=False)
    printed = json.loads(done.stdout)
    if isinstance(example, list):
        example, printed = example[0], printed[0]
    assert list(printed) == list(example)
    assert {k: type(v) for k, v in printed.items()} == {k: type(v) for k, v in example.items()}
