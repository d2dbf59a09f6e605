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


_GGML = """\
cmake_minimum_required(VERSION 3.14)
project(ggml C CXX)
"""


def _configure_ggml(
    repository: Path, folder: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Configure something that looks like another release of llama.cpp's kernels."""
    kernels = folder / "src" / "ggml-cpu"
    kernels.mkdir(parents=True)
    (folder / "CMakeLists.txt").write_text(_GGML, encoding="utf-8")
    for name in ("ops.cpp", "ggml-cpu.c", "repack.cpp"):
        (kernels / name).write_text("int another;\n", encoding="utf-8")
    include = repository / "scripts" / "kernels" / "kernels.cmake"
    command = ["cmake", "-S", str(folder), "-B", str(folder / "build"), *options]
    command.append(f"-DCMAKE_PROJECT_INCLUDE={include}")
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_another_release_of_llama_cpp_is_refused(repository: Path, tmp_path: Path) -> None:
    done = _configure_ggml(repository, tmp_path)
    assert done.returncode != 0
    assert "do not fit this llama.cpp" in done.stderr and "-DRAGSTACK_KERNELS=OFF" in done.stderr
    assert (tmp_path / "src" / "ggml-cpu" / "ops.cpp").read_text("utf-8") == "int another;\n"


def test_the_kernels_can_be_left_as_they_come(repository: Path, tmp_path: Path) -> None:
    done = _configure_ggml(repository, tmp_path, "-DRAGSTACK_KERNELS=OFF")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "src" / "ggml-cpu" / "ragstack").exists()
