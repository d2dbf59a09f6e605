// When Q4_K weights that lie interleaved go through llama.cpp's tiled product. kernels.cmake puts it into `repack.cpp`
// and `tiled/tiled.cpp`.
//
// llama.cpp interleaves eight rows of such weights, which is quickest for few tokens; its tiled product is half as
// quick again for many, but takes weights as they lie in the file alone. It can unpack either (q4_k.h).

#pragma once

#include <cstddef>
#include <cstdint>

struct ggml_compute_params;
struct ggml_tensor;

namespace ragstack {

constexpr size_t WORKSPACE = 512 * 1024;  // bytes of a thread's tiles
constexpr size_t LINE = 64;

#if defined(__AVX512VNNI__)
constexpr int64_t MANY_TOKENS = 13;
#else
constexpr int64_t MANY_TOKENS = INT64_MAX;
#endif

// The bytes that a product needs to work in, after those of its tokens.
inline size_t workspace(size_t tokens, int threads) {
    return (tokens + LINE - 1) / LINE * LINE + LINE + WORKSPACE * static_cast<size_t>(threads);
}

// Computes the product of interleaved Q4_K weights and tokens; false where the tiled product is turned off.
bool product(const ggml_compute_params * params, ggml_tensor * result);

}  // namespace ragstack
