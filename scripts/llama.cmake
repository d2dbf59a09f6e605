# Included after each project() of a build of llama.cpp. A normal variable shadows the cache entry that
# llama-cpp-python's CMakeLists forces to ON: without a server the common library (chat, downloads) is not
# used, and it is most of the compile.
if(NOT LLAMA_BUILD_SERVER)
    set(LLAMA_BUILD_COMMON OFF)
endif()

# llama.cpp's AMX kernels are left out. GCC 12.2 (Debian 12) miscompiles them: it tells its optimiser that
# _tile_loadconfig reads 8 bytes of the 64 of a tile configuration, and the first tile instruction is an illegal
# one (gcc.gnu.org/PR114098). With that mended a process that had done other work before got a perplexity of
# 2e26 (docs/LOG.md), and the cause was not found.
if(CMAKE_CXX_COMPILER_LOADED AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag(-mno-amx-int8 KNOWS_AMX)
    if(KNOWS_AMX)
        add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-mno-amx-int8>")
    endif()
endif()
