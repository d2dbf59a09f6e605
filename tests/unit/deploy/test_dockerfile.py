"""The Dockerfile: what hadolint says where it is installed, and what this project asks of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ragstack.engine.builds import builds_folder

_DIGEST = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}")


@pytest.fixture(scope="module")
def dockerfile(repository: Path) -> Path:
    return repository / "Dockerfile"


@pytest.fixture(scope="module")
def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """Instructions with their text, continued lines joined."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text("utf-8"), flags=re.M)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(words[0], words[2]) for line in lines if (words := line.partition(" "))[0]]


@pytest.fixture(scope="module")
def stages(steps) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    at: list[tuple[str, str]] = []
    for instruction, text in steps:
        if instruction == "FROM":
            at = found.setdefault(text.rpartition(" AS ")[2], [])
        at.append((instruction, text))
    return found


def test_hadolint(dockerfile: Path) -> None:
    beside = str(Path(sys.executable).parent)
    program = shutil.which("hadolint") or shutil.which("hadolint", path=beside)
    if program is None:
        pytest.skip("hadolint is not installed; its package has it for Linux on x86-64 alone")
    done = subprocess.run([program, dockerfile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_bases_are_pinned(steps, stages) -> None:
    arguments = dict(
        text.partition("=")[::2] for instruction, text in steps[:2] if instruction == "ARG"
    )
    for text in (text for instruction, text in steps if instruction == "FROM"):
        base = re.fullmatch(r"\$\{(\w+)\} AS \w+", text)
        assert base, text
        assert _DIGEST.fullmatch(arguments[base[1]]), base[1]
    assert list(stages) == ["llama", "build", "chroma", "runtime"]


def test_images_do_not_run_as_root(stages) -> None:
    for name in ("chroma", "runtime"):
        users = [text for instruction, text in stages[name] if instruction == "USER"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), name
        after = stages[name][stages[name].index(("USER", users[-1])) :]
        assert not [text for instruction, text in after if instruction == "RUN"]


def test_nothing_is_added_from_elsewhere(steps) -> None:
    assert not [text for instruction, text in steps if instruction == "ADD"]
    for text in (text for instruction, text in steps if instruction == "RUN"):
        assert not re.search(r"\b(curl|wget|git clone)\b|https?://", text), text
        assert "sudo" not in text


def test_lists_of_packages_are_not_kept(steps) -> None:
    installs = [text for instruction, text in steps if "apt-get install" in text]
    assert len(installs) == 2
    for text in installs:
        assert "--no-install-recommends" in text
        assert text.index("apt-get update") < text.index("apt-get install")
        assert "rm -rf /var/lib/apt/lists/*" in text
    for text in (text for _, text in steps if "pip install" in text or "pip wheel" in text):
        assert "--no-cache-dir" in text


def test_llama_cpp_is_compiled_for_its_version_alone(stages, repository: Path) -> None:
    stage = stages["llama"]
    assert [text for name, text in stage if name == "COPY"] == [
        "scripts/llama.cmake /llama.cmake",
        "scripts/kernels /kernels",
    ]
    constraints = (repository / "constraints.txt").read_text("utf-8")
    pinned = re.search(r"^llama_cpp_python==(\S+)$", constraints, re.M)
    assert pinned and ("ARG", f"LLAMA_CPP_PYTHON={pinned[1]}") in stage


def test_the_same_parts_are_left_out_as_on_a_machine(stages, script) -> None:
    (shared,) = [text for name, text in stages["llama"] if text.startswith("LLAMA_CPP_ARGS=")]
    for part in script("llama_wheel").NOT_USED:
        assert f"-D{part}=OFF" in shared
    builds = [text for name, text in stages["llama"] if "pip wheel" in text]
    assert len(builds) == 2
    for text in builds:
        assert 'CMAKE_ARGS="${LLAMA_CPP_ARGS} ' in text
        assert '"llama-cpp-python==${LLAMA_CPP_PYTHON}"' in text


def test_the_build_for_newer_processors_says_what_it_needs(stages) -> None:
    arguments = dict(text.split("=", maxsplit=1) for name, text in stages["llama"] if name == "ARG")
    (newer,) = [text for _, text in stages["llama"] if " /builds/" in text]
    assert arguments["LLAMA_CMAKE_ARGS"] == '"-DGGML_NATIVE=OFF"'
    assert '"x86_64 -DGGML_NATIVE=OFF"' in newer  # who chooses his own flags gets them alone
    # What llama.cpp's ggml/src/ggml-cpu/CMakeLists.txt compiles with under these two.
    assert set(re.findall(r"-DGGML_(\w+)=ON", newer)) == {"AVX512", "AVX512_VNNI"}
    (name,) = re.findall(r" /builds/(\S+)", newer)
    needed = "avx512f avx512cd avx512vl avx512dq avx512bw avx512_vnni"
    assert sorted(name.split("+")) == sorted(needed.split())
    place = builds_folder().relative_to(sys.prefix)
    assert ("COPY", f"--from=llama /builds /opt/ragstack/{place}") in stages["build"]


def test_the_extras_exist(stages, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    (text,) = [text for name, text in stages["build"] if text.startswith("EXTRAS=")]
    extras = text.removeprefix("EXTRAS=").split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert {"local", "chroma", "documents", "serve", "ui"} <= set(extras)


def test_what_is_copied_is_sent_and_nothing_else_is(steps, repository: Path) -> None:
    rules = (repository / ".dockerignore").read_text("utf-8").splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:].removesuffix("/**") for rule in rules if rule.startswith("!")}
    copied = {
        word
        for instruction, text in steps
        if instruction == "COPY" and not text.startswith("--from")
        for word in text.split()[:-1]
    }
    assert copied == allowed
    assert all((repository / path).exists() for path in copied)


def test_the_images_python_is_one_that_ragstack_takes(steps) -> None:
    version = re.search(r"python:(\d+)\.(\d+)\.", steps[0][1])
    assert version and (3, 11) <= (int(version[1]), int(version[2])) <= (3, 13)
