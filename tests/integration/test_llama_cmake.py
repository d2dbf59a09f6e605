"""What scripts/llama.cmake mends, with the compiler of this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed"),
]

_CMAKE = """\
cmake_minimum_required(VERSION 3.14)
project(tiles CXX)
add_subdirectory(inner)
"""
_INNER = """\
add_executable(tiles tiles.cpp)
target_compile_options(tiles PRIVATE -O3 -mamx-tile)
"""
# As llama.cpp does it: a configuration on the stack, read by one instruction and by nothing else.
_TILES = """\
#include <cstdint>
#include <cstdio>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

struct Tiles { uint8_t palette, start, none[14]; uint16_t columns[16]; uint8_t rows[16]; };

__attribute__((noinline)) static void configure() {
    alignas(64) Tiles tiles = {};
    tiles.palette = 1;
    for (int n = 0; n < 8; ++n) { tiles.rows[n] = 16; tiles.columns[n] = 64; }
    _tile_loadconfig(&tiles);
}

int main() {
    if (syscall(SYS_arch_prctl, 0x1023, 18) != 0) { std::puts("no tiles"); return 0; }
    configure();
    _tile_zero(4);
    std::puts("zeroed");
}
"""


@pytest.mark.skipif(
    platform.machine() != "x86_64",
    reason="AMX is of x86-64",
)
def test_tiles_are_configured_whatever_the_compiler(repository: Path, tmp_path: Path) -> None:
    """GCC 12.2 drops seven eighths of the configuration, and the first tile instruction traps."""
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
        assert done.returncode == 0, done.stdout + done.stderr
    ran = subprocess.run([build / "inner" / "tiles"], capture_output=True, text=True, check=False)
    if ran.stdout == "no tiles\n":
        pytest.skip("this processor has no AMX: compiled, not run")
    assert (ran.returncode, ran.stdout) == (0, "zeroed\n")
