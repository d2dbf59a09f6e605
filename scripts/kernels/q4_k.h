// Q4_K weights of eight rows, interleaved, unpacked into tiles. kernels.cmake puts it into `tiled/tiled.cpp`.

#pragma once

#include "product.h"
#include "repack.h"
#include "simd-mappings.h"

namespace ragstack {

// One block, 256 weights, of each of eight rows, as `repack.cpp` lays them.
struct EightRows {
    block_q4_Kx8 block;
};

constexpr int ROWS = 8;
constexpr int PARTS = 8;  // of a block: 32 weights with a scale and a minimum
constexpr int PART_BYTES = 12;  // the scales and minima of one part of eight rows, six bits each
constexpr int PIECE = 8;  // bytes of one row between those of the next

// The scales and minima of one part of eight rows. Those of the last four have their six bits in two places.
inline void part(const uint8_t * bytes, uint8_t * scales, uint8_t * least) {
    constexpr uint32_t SIX = 0x3F3F3F3F, FOUR = 0x0F0F0F0F, UPPER_TWO = 0x30303030;
    uint32_t first, second, third;
    memcpy(&first, bytes, 4);
    memcpy(&second, bytes + 4, 4);
    memcpy(&third, bytes + 8, 4);
    const uint32_t found[4] = {
        first & SIX, (third & FOUR) | (first >> 2 & UPPER_TWO),
        second & SIX, (third >> 4 & FOUR) | (second >> 2 & UPPER_TWO),
    };
    memcpy(scales, found, ROWS);
    memcpy(least, found + 2, ROWS);
}

// One row's codes, a byte each: the lower halves of 32 bytes, then the upper ones.
inline void codes(const block_q4_Kx8 & block, int row, uint8_t * to) {
    const uint8_t * from = block.qs + row * PIECE;
#if defined(__AVX512VNNI__)
    const __m512i lower = _mm512_set1_epi8(0x0F);
    const __m512i places = _mm512_setr_epi64(0, 64, 128, 192, 256, 320, 384, 448);
    for (int half = 0; half < 2; ++half) {
        const __m512i both = _mm512_i64gather_epi64(places, from + half * TILED_TILE_K * 2, 1);
        const __m512i low = _mm512_and_si512(both, lower);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), lower);
        const __m512i first = _mm512_inserti64x4(low, _mm512_castsi512_si256(high), 1);
        const __m512i second = _mm512_shuffle_i64x2(low, high, 0xEE);
        _mm512_storeu_si512(to + half * TILED_TILE_K / 2, first);
        _mm512_storeu_si512(to + half * TILED_TILE_K / 2 + 64, second);
    }
#else
    uint8_t both[TILED_TILE_K / 2];
    for (int piece = 0; piece < TILED_TILE_K / 2; piece += PIECE) {
        memcpy(both + piece, from + piece * ROWS, PIECE);
    }
    for (int half = 0; half < TILED_TILE_K / 2; half += 32) {
        tiled_unpk_nib4(both + half, to + 2 * half, to + 2 * half + 32);
    }
#endif
}

}  // namespace ragstack

static void tiled_unpack_src0(const ragstack::EightRows * from, int64_t stride, int rows, tiled_tile_src0 * tile, int slabs) {
    using namespace ragstack;
    uint8_t scales[PARTS][ROWS], least[PARTS][ROWS];
    for (int first = 0; first < rows; first += ROWS) {
        for (int slab = 0; slab < slabs; ++slab) {
            const block_q4_Kx8 & block = from[first / ROWS * stride + slab].block;
            for (int number = 0; number < PARTS; ++number) {
                part(block.scales + number * PART_BYTES, scales[number], least[number]);
            }
            for (int row = 0; row < ROWS; ++row) {
                const int place = slab * TILED_MICRO + first + row;
                tile->d[place]    = GGML_CPU_FP16_TO_FP32(block.d[row]);
                tile->dmin[place] = GGML_CPU_FP16_TO_FP32(block.dmin[row]);
                const int at = (first + row) * slabs + slab;
                for (int number = 0; number < PARTS; ++number) {
                    tile->scales[at * PARTS + number] = scales[number][row];
                    tile->mins[at * PARTS + number] = least[number][row];
                }
                codes(block, row, tile->q + at * TILED_TILE_K);
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
