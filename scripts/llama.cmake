# Included after each project() of the llama-cpp-python build: a normal variable, which shadows the cache
# entry that its CMakeLists forces to ON. The common library (chat, downloads, a server) is not used here
# and is most of the compile.
set(LLAMA_BUILD_COMMON OFF)
