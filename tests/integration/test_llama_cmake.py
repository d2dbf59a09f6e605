"""What scripts/llama.cmake does to a build of llama.cpp, with the compiler of this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is of x86-64"),
]

_CMAKE = """\
cmake_minimum_required(VERSION 3.14)
project(tiles C CXX)
add_subdirectory(inner)
"""
# As llama.cpp does it: the processor's own instructions, named by the target.
_INNER = """\
add_executable(tiles tiles.cpp)
target_compile_options(tiles PRIVATE -O3 -march=sapphirerapids)
"""
_TILES = """\
#include <cstdio>

int main() {
#if defined(__AMX_INT8__)
    std::puts("with AMX");
#else
    std::puts("without AMX");
#endif
}
"""


def test_kernels_for_amx_are_left_out(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "CMakeLists.txt").write_text(_CMAKE, encoding="utf-8")
    (tmp_path / "inner" / "CMakeLists.txt").write_text(_INNER, encoding="utf-8")
    (tmp_path / "inner" / "tiles.cpp").write_text(_TILES, encoding="utf-8")
    include = f"-DCMAKE_PROJECT_INCLUDE={repository / 'scripts' / 'llama.cmake'}"
    build = tmp_path / "a build"
    for command in (
        ["cmake", "-S", str(tmp_path), "-B", str(build), include],
        ["cmake", "--build", str(build)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "bad value" in done.stderr:
            pytest.skip("this compiler knows no processor with AMX")
        assert done.returncode == 0, done.stdout + done.stderr
    ran = subprocess.run([build / "inner" / "tiles"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "without AMX\n")


_CHANGED = {
    "ggml": ("src/ggml-cpu", ("ops.cpp", "ggml-cpu.c", "repack.cpp")),
    "llama.cpp": ("src", ("llama-graph.cpp", "llama-kv-cache.cpp")),
}


def _configure(
    repository: Path, folder: Path, project: str, *options: str
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Configure something that looks like a part of another release of llama.cpp."""
    place, names = _CHANGED[project]
    sources = folder / place
    sources.mkdir(parents=True)
    text = f"cmake_minimum_required(VERSION 3.14)\nproject({project} C CXX)\n"
    (folder / "CMakeLists.txt").write_text(text, encoding="utf-8")
    for name in names:
        (sources / name).write_text("int another;\n", encoding="utf-8")
    include = repository / "scripts" / "kernels" / "kernels.cmake"
    command = ["cmake", "-S", str(folder), "-B", str(folder / "build"), *options]
    command.append(f"-DCMAKE_PROJECT_INCLUDE={include}")
    return subprocess.run(command, capture_output=True, text=True, check=False), sources


@pytest.mark.parametrize("project", _CHANGED)
def test_another_release_of_llama_cpp_is_refused(
    repository: Path, tmp_path: Path, project: str
) -> None:
    done, sources = _configure(repository, tmp_path, project)
    assert done.returncode != 0
    assert "do not fit this llama.cpp" in done.stderr and "-DRAGSTACK_KERNELS=OFF" in done.stderr
    for name in _CHANGED[project][1]:
        assert (sources / name).read_text("utf-8") == "int another;\n"


@pytest.mark.parametrize(
    ("project", "option"),
    [
        ("ggml", "RAGSTACK_KERNELS=OFF"),
        ("llama.cpp", "RAGSTACK_KERNELS=OFF"),
        ("llama.cpp", "GGML_CUDA=ON"),  # whose masks stay as they come
    ],
)
def test_it_can_be_left_as_it_comes(
    repository: Path, tmp_path: Path, project: str, option: str
) -> None:
    done, sources = _configure(repository, tmp_path, project, f"-D{option}")
    assert done.returncode == 0, done.stderr
    assert not (sources / "ragstack").exists()
