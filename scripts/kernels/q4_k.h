// Q4_K weights of eight rows, interleaved, unpacked into tiles. kernels.cmake puts it into `tiled/tiled.cpp`.

#pragma once

#include "product.h"
#include "repack.h"

namespace ragstack {

// One block, 256 weights, of each of eight rows, as `repack.cpp` lays them.
struct EightRows {
    block_q4_Kx8 block;
};

constexpr int ROWS = 8;
constexpr int PARTS = 8;  // of a block: 32 weights with a scale and a minimum
constexpr int PART_BYTES = 12;  // the scales and minima of one part of eight rows, six bits each
constexpr int PIECE = 8;  // bytes of one row between those of the next

// Four rows' scales and minima have their six bits in one place, those of the other four in two.
inline void part(const uint8_t * bytes, int row, int32_t & scale, int32_t & least) {
    if (row < ROWS / 2) {
        scale = bytes[row] & 0x3F;
        least = bytes[row + 4] & 0x3F;
    } else {
        scale = (bytes[row + 4] & 0x0F) | (bytes[row - 4] >> 6 << 4);
        least = (bytes[row + 4] >> 4) | (bytes[row] >> 6 << 4);
    }
}

}  // namespace ragstack

static void tiled_unpack_src0(const ragstack::EightRows * from, int64_t stride, int rows, tiled_tile_src0 * tile, int slabs) {
    using namespace ragstack;
    for (int first = 0; first < rows; first += ROWS) {
        for (int slab = 0; slab < slabs; ++slab) {
            const block_q4_Kx8 & block = from[first / ROWS * stride + slab].block;
            for (int row = 0; row < ROWS; ++row) {
                const int place = slab * TILED_MICRO + first + row;
                tile->d[place]    = ggml_fp16_to_fp32(block.d[row]);
                tile->dmin[place] = ggml_fp16_to_fp32(block.dmin[row]);
                const int at = (first + row) * slabs + slab;
                for (int number = 0; number < PARTS; ++number) {
                    const int to = at * PARTS + number;
                    part(block.scales + number * PART_BYTES, row, tile->scales[to], tile->mins[to]);
                }
                uint8_t codes[TILED_TILE_K / 2];
                for (int piece = 0; piece < TILED_TILE_K / 2; piece += PIECE) {
                    memcpy(codes + piece, block.qs + piece * ROWS + row * PIECE, PIECE);
                }
                uint8_t * to = tile->q + at * TILED_TILE_K;
                for (int half = 0; half < TILED_TILE_K / 2; half += 32) {
                    tiled_unpk_nib4(codes + half, to + 2 * half, to + 2 * half + 32);
                }
            }
        }
    }
}

// Where a row's weights begin, from a block on.
template <typename B>
static const B * tiled_src0_at(const char * rows, int64_t row, size_t row_bytes, int64_t block, size_t block_bytes) {
    return reinterpret_cast<const B *>(rows + row * row_bytes + block * block_bytes);
}

template <>
const ragstack::EightRows * tiled_src0_at(const char * rows, int64_t row, size_t row_bytes, int64_t block, size_t) {
    return reinterpret_cast<const ragstack::EightRows *>(rows + row * row_bytes) + block;
}
