// Four small numbers of each of several rows at once, and their products. kernels.cmake puts it into `ops.cpp`.

#pragma once

#include "lanes.h"

#if defined(RAGSTACK_AVX512) || defined(RAGSTACK_AVX2)
#define RAGSTACK_WORDS

namespace ragstack {

typedef uint32_t Words __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef int32_t Ints __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef int8_t Bytes __attribute__((vector_size(LANES)));

#if defined(RAGSTACK_AVX512)

constexpr int ACROSS = 2;  // vectors of rows at once,
constexpr int DEEP = 6;    // and tokens: what fits into the registers

inline Ints nearest(Lanes x) { return (Ints) _mm512_cvtps_epi32(x); }
inline Lanes as_lanes(Ints x) { return _mm512_cvtepi32_ps((__m512i) x); }
inline Lanes distance(Lanes x) { return _mm512_abs_ps(x); }
inline float largest_lane(Lanes x) { return _mm512_reduce_max_ps(x); }
inline int32_t total(Ints x) { return _mm512_reduce_add_epi32((__m512i) x); }
inline void store(int8_t * at, Ints x) { _mm_storeu_si128((__m128i *) at, _mm512_cvtepi32_epi8((__m512i) x)); }

// The halves of single numbers that stand in the lower part of each word.
inline Lanes halves(Words x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i) x)); }

// A word of each row; rows lie `stride` bytes apart.
inline Words one_of_each(const uint8_t * first, size_t stride) {
    const __m512i rows = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (Words) _mm512_i32gather_epi32(_mm512_mullo_epi32(rows, _mm512_set1_epi32(int(stride))), first, 1);
}

// Four words of each row.
inline void four_of_each(const uint8_t * first, size_t stride, Words (&to)[4]) {
    __m512i rows[4];
    for (int i = 0; i < 4; ++i) {
        const uint8_t * at = first + i * stride;
        const auto four = [&](int row) { return _mm_loadu_si128((const __m128i *) (at + row * stride)); };
        rows[i] = _mm512_castsi128_si512(four(0));
        rows[i] = _mm512_inserti32x4(rows[i], four(4), 1);
        rows[i] = _mm512_inserti32x4(rows[i], four(8), 2);
        rows[i] = _mm512_inserti32x4(rows[i], four(12), 3);
    }
    const __m512i a = _mm512_unpacklo_epi32(rows[0], rows[1]), b = _mm512_unpackhi_epi32(rows[0], rows[1]);
    const __m512i c = _mm512_unpacklo_epi32(rows[2], rows[3]), d = _mm512_unpackhi_epi32(rows[2], rows[3]);
    to[0] = (Words) _mm512_unpacklo_epi64(a, c);
    to[1] = (Words) _mm512_unpackhi_epi64(a, c);
    to[2] = (Words) _mm512_unpacklo_epi64(b, d);
    to[3] = (Words) _mm512_unpackhi_epi64(b, d);
}

#else

constexpr int ACROSS = 1;
constexpr int DEEP = 4;

inline Ints nearest(Lanes x) { return (Ints) _mm256_cvtps_epi32(x); }
inline Lanes as_lanes(Ints x) { return _mm256_cvtepi32_ps((__m256i) x); }
inline Lanes distance(Lanes x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
inline float largest_lane(Lanes x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
inline int32_t total(Ints x) {
    int32_t sum = 0;
    for (int i = 0; i < LANES; ++i) {
        sum += x[i];
    }
    return sum;
}
inline void store(int8_t * at, Ints x) {
    const Bytes bytes = __builtin_convertvector(x, Bytes);
    memcpy(at, &bytes, sizeof(bytes));
}
inline Lanes halves(Words x) {
    const __m256i packed = _mm256_packus_epi32((__m256i) (x & 0xFFFF), (__m256i) (x & 0xFFFF));
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}
inline Words one_of_each(const uint8_t * first, size_t stride) {
    const __m256i rows = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i places = _mm256_mullo_epi32(rows, _mm256_set1_epi32(int(stride)));
    return (Words) _mm256_i32gather_epi32((const int *) first, places, 1);
}
inline void four_of_each(const uint8_t * first, size_t stride, Words (&to)[4]) {
    __m256i rows[4];
    for (int i = 0; i < 4; ++i) {
        const uint8_t * at = first + i * stride;
        rows[i] = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *) at));
        rows[i] = _mm256_inserti128_si256(rows[i], _mm_loadu_si128((const __m128i *) (at + 4 * stride)), 1);
    }
    const __m256i a = _mm256_unpacklo_epi32(rows[0], rows[1]), b = _mm256_unpackhi_epi32(rows[0], rows[1]);
    const __m256i c = _mm256_unpacklo_epi32(rows[2], rows[3]), d = _mm256_unpackhi_epi32(rows[2], rows[3]);
    to[0] = (Words) _mm256_unpacklo_epi64(a, c);
    to[1] = (Words) _mm256_unpackhi_epi64(a, c);
    to[2] = (Words) _mm256_unpacklo_epi64(b, d);
    to[3] = (Words) _mm256_unpackhi_epi64(b, d);
}

#endif

inline int32_t four(const int8_t * numbers) {
    int32_t together;
    memcpy(&together, numbers, sizeof(together));
    return together;
}

// plus_products<MOST>: to each sum the products of codes without a sign, MOST at most, and numbers with one; of WORDS<MOST>
// words at once. A word's numbers are the same for all rows.
#if defined(__AVX512VNNI__) && defined(RAGSTACK_AVX512)

constexpr const char * KIND = "AVX-512 VNNI";
constexpr int MOST_CODE = 255;
template <int> constexpr int WORDS = 1;
template <int> inline Ints plus_products(Ints sum, const Words (*codes)[ACROSS], int across, const int8_t * numbers) {
    return (Ints) _mm512_dpbusd_epi32((__m512i) sum, (__m512i) codes[0][across], _mm512_set1_epi32(four(numbers)));
}

#elif defined(__AVXVNNI__) && defined(RAGSTACK_AVX2)

constexpr const char * KIND = "AVX-VNNI";
constexpr int MOST_CODE = 255;
template <int> constexpr int WORDS = 1;
template <int> inline Ints plus_products(Ints sum, const Words (*codes)[ACROSS], int across, const int8_t * numbers) {
    return (Ints) _mm256_dpbusd_avx_epi32((__m256i) sum, (__m256i) codes[0][across], _mm256_set1_epi32(four(numbers)));
}

#else

constexpr int MOST_CODE = 127;  // two products stay below 32,768
template <int MOST> constexpr int WORDS = MOST <= 15 ? 8 : MOST <= 31 ? 4 : MOST <= 63 ? 2 : 1;  // so do these

#if defined(RAGSTACK_AVX512)
constexpr const char * KIND = "AVX-512";
using Pairs = __m512i;
inline Pairs products(Words codes, int32_t numbers) {
    return _mm512_maddubs_epi16((__m512i) codes, _mm512_set1_epi32(numbers));
}
inline Pairs plus(Pairs a, Pairs b) { return _mm512_add_epi16(a, b); }
inline Ints added(Pairs x) { return (Ints) _mm512_madd_epi16(x, _mm512_set1_epi16(1)); }
#else
constexpr const char * KIND = "AVX2";
using Pairs = __m256i;
inline Pairs products(Words codes, int32_t numbers) {
    return _mm256_maddubs_epi16((__m256i) codes, _mm256_set1_epi32(numbers));
}
inline Pairs plus(Pairs a, Pairs b) { return _mm256_add_epi16(a, b); }
inline Ints added(Pairs x) { return (Ints) _mm256_madd_epi16(x, _mm256_set1_epi16(1)); }
#endif

template <int MOST>
inline Ints plus_products(Ints sum, const Words (*codes)[ACROSS], int across, const int8_t * numbers) {
    Pairs pairs = products(codes[0][across], four(numbers));
    for (int word = 1; word < WORDS<MOST>; ++word) {
        pairs = plus(pairs, products(codes[word][across], four(numbers + word * 4)));
    }
    return sum + added(pairs);
}

#endif

}  // namespace ragstack

#endif
