"""The set-up scripts: progress, the wheel's cache, the environment's stamp, the interpreter."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Script = Callable[[str], ModuleType]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("  [12/83] /usr/bin/g++ -O3 -c a.cpp", (12, 83)),
        ("[ 14%] Building CXX object a.o", (14, 100)),
        ("[1/2] Building C object CMakeFiles/cmTC.o", None),
        ("warning: array [12/83]", None),
        ("", None),
    ],
)
def test_compile_steps_are_read(script: Script, line: str, step: tuple[int, int] | None) -> None:
    assert script("progress").compile_step(line) == step


def test_off_a_terminal_a_line_comes_at_every_tenth(script: Script) -> None:
    out = io.StringIO()
    meter = script("progress").Meter("compiling", out=out, clock=lambda: 0.0)
    for done in range(1, 84):
        meter.step(done, 83)
    meter.done()
    lines = out.getvalue().splitlines()
    assert 10 <= len(lines) <= 13
    assert lines[-2] == "  compiling 83/83, 0 s"
    assert lines[-1] == "  compiling: done in 0 s"


def test_on_a_terminal_one_line_is_rewritten_with_the_time_left(script: Script) -> None:
    now = iter(range(1000))
    out = Terminal()
    meter = script("progress").Meter("compiling", out=out, clock=lambda: float(next(now)))
    for done in range(1, 21):
        meter.step(done, 20)
    assert "\n" not in out.getvalue()
    assert "compiling 10/20, 10 s, about 9 s left" in out.getvalue()


def test_a_duration_is_said_as_people_say_it(script: Script) -> None:
    said = [script("progress").duration(seconds) for seconds in (0.4, 59.4, 125)]
    assert said == ["0 s", "59 s", "2 min 05 s"]


def test_a_failed_command_shows_the_end_of_its_log(script: Script, tmp_path: Path) -> None:
    progress = script("progress")
    code = "import sys; [print('line', n) for n in range(100)]; sys.exit(3)"
    with pytest.raises(progress.CommandFailed) as failed:
        progress.run(
            [sys.executable, "-c", code],
            log=tmp_path / "log",
            meter=progress.Meter("x", out=io.StringIO()),
        )
    assert failed.value.code == 3
    assert failed.value.tail(2) == "line 98\nline 99"


@pytest.mark.parametrize("line", ["llama_cpp_python==0.3.36", "Llama-cpp-python == 0.3.36 # why"])
def test_the_version_comes_from_the_constraints(script: Script, line: str) -> None:
    assert script("llama_wheel").pinned_version(f"numpy==2\n{line}\n") == "0.3.36"


def test_constraints_without_the_engine_are_refused(script: Script) -> None:
    wheel = script("llama_wheel")
    with pytest.raises(wheel.SetupFailed, match="does not pin"):
        wheel.pinned_version("numpy==2\n# llama_cpp_python==1\n")


def test_the_real_constraints_pin_the_engine(script: Script, repository: Path) -> None:
    text = (repository / "constraints.txt").read_text(encoding="utf-8")
    assert script("llama_wheel").pinned_version(text)


def recipe(script: Script, **changed: str) -> Any:
    given = {"version": "1", "user_args": "", "include": "a", "machine": "m", **changed}
    return script("llama_wheel").Recipe(**given)


@pytest.mark.parametrize("part", ["version", "user_args", "include", "machine"])
def test_the_wheel_is_keyed_by_all_its_code_depends_on(script: Script, part: str) -> None:
    assert recipe(script).key == recipe(script).key
    assert recipe(script).key != recipe(script, **{part: "other"}).key


def test_every_change_of_the_kernels_makes_another_wheel(script: Script, repository: Path) -> None:
    changes = [repository / "scripts" / "llama.cmake", *(repository / "scripts/kernels").iterdir()]
    assert len(changes) > 4
    for file in changes:
        assert file.read_text(encoding="utf-8") in script("llama_wheel").included()
        assert str(file.relative_to(repository)) in script("environment").INPUTS


def test_the_users_own_cmake_arguments_come_last_and_win(script: Script) -> None:
    arguments = recipe(script, user_args="-DGGML_CUDA=on -DMTMD_VIDEO=ON").cmake_args().split()
    assert arguments[-2:] == ["-DGGML_CUDA=on", "-DMTMD_VIDEO=ON"]
    assert "-DMTMD_VIDEO=OFF" in arguments[:-2]
    assert Path(arguments[0].removeprefix("-DCMAKE_PROJECT_INCLUDE=")).is_file()


def test_a_cached_wheel_is_taken_without_a_compiler(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    made = tmp_path / "llama_cpp_python-1-py3-none-any.whl"
    made.touch()
    assert script("llama_wheel").wheel(recipe(script), tmp_path) == made


def test_a_missing_compiler_is_named_with_what_installs_it(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = script("llama_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(wheel.SetupFailed, match=r"no C compiler is here.*\n?.*hint: .*install"):
        wheel.wheel(recipe(script), tmp_path / "wheels")


def test_a_compiler_that_cannot_compile_is_named(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'fatal error: thread: No such file' >&2\nexit 1\n")
    broken.chmod(0o755)
    environ = {"CC": "sh", "CXX": str(broken), "PATH": os.environ["PATH"]}
    problem = script("llama_wheel").compiler_problem(environ)
    assert "cannot compile a small C++17 program: fatal error: thread" in problem


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler is installed here")
def test_a_good_compiler_passes(script: Script) -> None:
    assert script("llama_wheel").compiler_problem() == ""


def test_compilers_at_once_can_be_chosen(script: Script) -> None:
    assert script("llama_wheel").jobs({"CMAKE_BUILD_PARALLEL_LEVEL": "7"}) == "7"
    assert int(script("llama_wheel").jobs({})) >= 1


@pytest.fixture
def project(script: Script, tmp_path: Path) -> Path:
    for name in script("environment").INPUTS:
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path / "project"


def test_an_environment_is_ready_until_something_it_depends_on_changes(
    script: Script, project: Path
) -> None:
    environment = script("environment")
    folder = project / ".venv"
    environment.python_of(folder).parent.mkdir(parents=True)
    environment.python_of(folder).touch()

    def stamps(cmake_args: str = "") -> dict[str, str]:
        return {
            profile: environment.stamp_text(project, profile, (3, 11), cmake_args)
            for profile in environment.EXTRAS
        }

    assert not environment.ready(folder, "test", stamps())
    (folder / "ragstack-test.stamp").write_text(stamps()["test"], encoding="utf-8")
    assert environment.ready(folder, "test", stamps())
    assert environment.ready(folder, "demo", stamps()), "what runs the tests can run the demo"
    assert not environment.ready(folder, "test", stamps("-DGGML_CUDA=on"))
    (project / "constraints.txt").write_text("numpy==3\n", encoding="utf-8")
    assert not environment.ready(folder, "test", stamps())


def test_an_environment_for_the_demo_is_not_enough_for_tests(script: Script, project: Path) -> None:
    environment = script("environment")
    folder = project / ".venv"
    environment.python_of(folder).parent.mkdir(parents=True)
    environment.python_of(folder).touch()
    stamps = {p: environment.stamp_text(project, p, (3, 11), "") for p in environment.EXTRAS}
    (folder / "ragstack-demo.stamp").write_text(stamps["demo"], encoding="utf-8")
    assert environment.ready(folder, "demo", stamps)
    assert not environment.ready(folder, "test", stamps)


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_an_interpreter_that_does_not_fit_is_refused(
    script: Script, version: tuple[int, int]
) -> None:
    environment = script("environment")
    with pytest.raises(environment.SetupFailed, match=r"needs Python 3\.11, 3\.12 or 3\.13"):
        environment.check_interpreter(version)


def test_a_python_without_ensurepip_names_the_package(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = script("environment")
    find = environment.importlib.util.find_spec
    monkeypatch.setattr(
        environment.importlib.util,
        "find_spec",
        lambda name: None if name == "ensurepip" else find(name),
    )
    with pytest.raises(environment.SetupFailed, match=r"apt-get install -y python3\.11-venv"):
        environment.check_interpreter((3, 11))


def test_a_folder_that_is_no_environment_is_left_alone(script: Script, tmp_path: Path) -> None:
    environment = script("environment")
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(environment.SetupFailed, match="no Python environment"):
        environment.make_environment(tmp_path, (3, 11))
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_an_interpreter_that_does_not_run_has_no_version(script: Script, tmp_path: Path) -> None:
    environment = script("environment")
    assert environment.version_of(tmp_path / "python") is None
    assert environment.version_of(Path(sys.executable)) == sys.version_info[:2]


def find_python(repository: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    code = "set -eu; . scripts/lib.sh; find_python demo"
    return subprocess.run(
        ["sh", "-c", code, str(repository / "scripts" / "x.sh")],
        cwd=repository,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_named_interpreter_is_taken(repository: Path) -> None:
    done = find_python(repository, PYTHON=sys.executable)
    assert done.stdout.strip() == sys.executable


def test_a_named_interpreter_that_does_not_fit_is_refused(repository: Path) -> None:
    done = find_python(repository, PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert "PYTHON=/nowhere/python does not run, or is not Python 3.11" in done.stderr


def test_without_any_python_the_line_to_run_is_named(repository: Path, tmp_path: Path) -> None:
    for tool in ("sh", "id", "dirname"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    done = find_python(repository, PATH=str(tmp_path), VENV=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13 is here" in done.stderr
    assert "apt-get install -y python3 python3-venv" in done.stderr


def test_the_environments_own_python_is_kept(repository: Path, tmp_path: Path) -> None:
    bin_folder = tmp_path / "env" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(sys.executable)
    done = find_python(repository, VENV=str(tmp_path / "env"))
    assert done.stdout.strip() == str(bin_folder / "python")


def test_wheels_are_kept_where_the_user_says(script: Script) -> None:
    folder = script("llama_wheel").wheels_folder
    assert folder({"RAGSTACK_CACHE": "/a"}) == Path("/a/wheels")
    if sys.platform == "linux":
        assert folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/ragstack/wheels")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed here")
def test_make_passes_folders_and_questions_as_they_are(repository: Path, tmp_path: Path) -> None:
    shutil.copy(repository / "Makefile", tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "demo.sh").write_text('printf \'%s|%s\' "$DOCS" "$Q"\n')
    given = ("my docs", """What's $5 of "it" `here` \\ $(shell id)?""")
    done = subprocess.run(
        ["make", "-s", "demo", f"DOCS={given[0]}", f"Q={given[1]}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "|".join(given)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed here")
def test_make_help_lists_every_target(repository: Path) -> None:
    done = subprocess.run(
        ["make", "help"], cwd=repository, capture_output=True, text=True, check=True
    )
    for target in ("demo", "test", "check", "bench", "docs", "soak", "lint", "clean", "help"):
        assert f"  make {target} " in done.stdout
