# Included after each project() of a build of llama.cpp. A normal variable shadows the cache entry that
# llama-cpp-python's CMakeLists forces to ON: without a server the common library (chat, downloads) is not
# used, and it is most of the compile.
if(NOT LLAMA_BUILD_SERVER)
    set(LLAMA_BUILD_COMMON OFF)
endif()

# GCC 12.2, which Debian 12 has, tells its optimiser that _tile_loadconfig reads 8 bytes of the 64 of a tile
# configuration, so the rest is never written and the first tile instruction of llama.cpp's AMX kernels is an
# illegal one (gcc.gnu.org/PR114098). The name stands for all 64 bytes here, with every GCC that may have this.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14
   AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(TILE_CONFIG "${CMAKE_BINARY_DIR}/tile_config.h")
    file(CONFIGURE OUTPUT "${TILE_CONFIG}" @ONLY CONTENT [[
#include <immintrin.h>
struct ragstack_tile_config { char bytes[64]; };
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg\t%X0" ::"m"(*(const struct ragstack_tile_config *)(config)))
]])
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-include${TILE_CONFIG}>")
endif()
