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
