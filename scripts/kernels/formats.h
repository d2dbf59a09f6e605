// Weights as the formats of a GGUF file have them, unpacked into codes without a sign. kernels.cmake puts it into
// `ops.cpp`.
//
// A weight is scale * (code - LEAST), or scale * code + shift where a format has SHIFTS. `unpack` takes one piece of each
// of LANES rows.

#pragma once

#include "words.h"

#ifdef RAGSTACK_WORDS

namespace ragstack {

constexpr int SPAN = 512;  // weights of a row that are unpacked at once
constexpr int IN_WORD = 4;
constexpr Words NIBBLES = Words{} + 0x0F0F0F0Fu;

// Unpacked weights of LANES * ACROSS rows.
struct Tile {
    Words codes[SPAN / IN_WORD][ACROSS];
    Lanes scales[SPAN / 16][ACROSS];
    Lanes shifts[SPAN / 16][ACROSS];
};

// Where one piece of LANES rows goes.
struct Place {
    Tile & tile;
    int across;
    int word, block;

    void code(int number, Words codes) const { tile.codes[word + number][across] = codes; }
    void scale(int number, Lanes by) const { tile.scales[block + number][across] = by; }
    void shift(int number, Lanes by) const { tile.shifts[block + number][across] = by; }

    // Codes of four bits: the lower halves of four words, and the upper ones `apart` words behind.
    void nibbles(int first, int apart, const uint8_t * rows, size_t stride) const {
        Words four[4];
        four_of_each(rows, stride, four);
        for (int i = 0; i < 4; ++i) {
            code(first + i, four[i] & NIBBLES);
            code(first + apart + i, four[i] >> 4 & NIBBLES);
        }
    }
};

inline Lanes as_numbers(Words x) { return as_lanes((Ints) x); }

// Four bits become one bit of each byte.
inline Words spread(Words bits) { return (bits & 0xF) * 0x00204081 & 0x01010101; }

// Adds a fifth bit to the codes of 32 weights.
inline void fifth_bits(const Place & to, Words bits) {
    for (int i = 0; i < 8; ++i) {
        Words & codes = to.tile.codes[to.word + i][to.across];
        codes |= spread(bits >> 4 * i) << 4;
    }
}

struct Q4_0 {
    static constexpr int BYTES = 18, PIECE = 32, BLOCK = 32, LEAST = 8, MOST = 15;
    static constexpr bool SHIFTS = false;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        to.scale(0, halves(one_of_each(rows, stride)));
        to.nibbles(0, 4, rows + 2, stride);
    }
};

struct Q4_1 {
    static constexpr int BYTES = 20, PIECE = 32, BLOCK = 32, LEAST = 0, MOST = 15;
    static constexpr bool SHIFTS = true;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        const Words both = one_of_each(rows, stride);
        to.scale(0, halves(both));
        to.shift(0, halves(both >> 16));
        to.nibbles(0, 4, rows + 4, stride);
    }
};

struct Q5_0 {
    static constexpr int BYTES = 22, PIECE = 32, BLOCK = 32, LEAST = 16, MOST = 31;
    static constexpr bool SHIFTS = false;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        to.scale(0, halves(one_of_each(rows, stride)));
        to.nibbles(0, 4, rows + 6, stride);
        fifth_bits(to, one_of_each(rows + 2, stride));
    }
};

struct Q5_1 {
    static constexpr int BYTES = 24, PIECE = 32, BLOCK = 32, LEAST = 0, MOST = 31;
    static constexpr bool SHIFTS = true;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        const Words both = one_of_each(rows, stride);
        to.scale(0, halves(both));
        to.shift(0, halves(both >> 16));
        to.nibbles(0, 4, rows + 8, stride);
        fifth_bits(to, one_of_each(rows + 4, stride));
    }
};

struct Q8_0 {
    static constexpr int BYTES = 34, PIECE = 32, BLOCK = 32, LEAST = 128, MOST = 255;
    static constexpr bool SHIFTS = false;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        to.scale(0, halves(one_of_each(rows, stride)));
        for (int half = 0; half < 8; half += 4) {
            Words four[4];
            four_of_each(rows + 2 + half * IN_WORD, stride, four);
            for (int i = 0; i < 4; ++i) {
                to.code(half + i, four[i] ^ 0x80808080);
            }
        }
    }
};

// Scales and shifts of Q4_K and Q5_K: a half of single numbers for each, times six bits for each block of 32. Those of
// the last four blocks have their six bits in two places.
inline void six_bits(const uint8_t * rows, size_t stride, const Place & to) {
    const Words both = one_of_each(rows, stride);
    const Lanes scale = halves(both), shift = times(halves(both >> 16), all(-1.0f));
    const Words first = one_of_each(rows + 4, stride);
    const Words second = one_of_each(rows + 8, stride);
    const Words third = one_of_each(rows + 12, stride);
    const Words scales[2] = {first & 0x3F3F3F3F, (third & 0x0F0F0F0F) | (first >> 2 & 0x30303030)};
    const Words shifts[2] = {second & 0x3F3F3F3F, (third >> 4 & 0x0F0F0F0F) | (second >> 2 & 0x30303030)};
    for (int block = 0; block < 8; ++block) {
        const int right = block % 4 * 8;
        to.scale(block, times(scale, as_numbers(scales[block / 4] >> right & 0xFF)));
        to.shift(block, times(shift, as_numbers(shifts[block / 4] >> right & 0xFF)));
    }
}

struct Q4_K {
    static constexpr int BYTES = 144, PIECE = 256, BLOCK = 32, LEAST = 0, MOST = 15;
    static constexpr bool SHIFTS = true;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        six_bits(rows, stride, to);
        for (int part = 0; part < 8; ++part) {  // 16 bytes each, two of them for two blocks
            to.nibbles(part / 2 * 16 + part % 2 * 4, 8, rows + 16 + part * 16, stride);
        }
    }
};

struct Q5_K {
    static constexpr int BYTES = 176, PIECE = 256, BLOCK = 32, LEAST = 0, MOST = 31;
    static constexpr bool SHIFTS = true;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        six_bits(rows, stride, to);
        for (int half = 0; half < 2; ++half) {  // of each block
            Words fifth[4];
            four_of_each(rows + 16 + half * 16, stride, fifth);
            for (int pair = 0; pair < 4; ++pair) {
                Words four[4];
                four_of_each(rows + 48 + pair * 32 + half * 16, stride, four);
                for (int i = 0; i < 4; ++i) {
                    const Words lower = fifth[i] >> 2 * pair & 0x01010101, upper = fifth[i] >> (2 * pair + 1) & 0x01010101;
                    to.code(pair * 16 + half * 4 + i, (four[i] & NIBBLES) | lower << 4);
                    to.code(pair * 16 + 8 + half * 4 + i, (four[i] >> 4 & NIBBLES) | upper << 4);
                }
            }
        }
    }
};

struct Q6_K {
    static constexpr int BYTES = 210, PIECE = 256, BLOCK = 16, LEAST = 32, MOST = 63;
    static constexpr bool SHIFTS = false;
    static void unpack(const uint8_t * rows, size_t stride, const Place & to) {
        const Lanes scale = halves(one_of_each(rows + 206, stride) >> 16);
        Words factors[4];
        four_of_each(rows + 192, stride, factors);
        for (int block = 0; block < 16; ++block) {
            const Ints factor = (Ints) (factors[block / 4] << (24 - block % 4 * 8)) >> 24;
            to.scale(block, times(scale, as_lanes(factor)));
        }
        for (int half = 0; half < 2; ++half) {  // of a piece
            for (int part = 0; part < 2; ++part) {  // 16 weights of each 32
                Words upper[4];
                four_of_each(rows + 128 + half * 32 + part * 16, stride, upper);
                for (int pair = 0; pair < 2; ++pair) {
                    Words four[4];
                    four_of_each(rows + half * 64 + pair * 32 + part * 16, stride, four);
                    for (int i = 0; i < 4; ++i) {
                        const Words low = upper[i] >> 2 * pair & 0x03030303, high = upper[i] >> (2 * pair + 4) & 0x03030303;
                        const int word = half * 32 + pair * 8 + part * 4 + i;
                        to.code(word, (four[i] & NIBBLES) | low << 4);
                        to.code(word + 16, (four[i] >> 4 & NIBBLES) | high << 4);
                    }
                }
            }
        }
    }
};

}  // namespace ragstack

#endif
